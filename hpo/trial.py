"""A trial: one choice of hyperparameters, trained up to some budget."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import compress, islice
from operator import is_not
from typing import ClassVar, NamedTuple, Self, TypeAlias

# Anything that YAML and JSON can hold: a choice may be a list or a mapping.
HParam: TypeAlias = "float | int | str | bool | list[HParam] | dict[str, HParam] | None"
HParams: TypeAlias = Mapping[str, HParam]


def is_finite(metrics: Mapping[str, float]) -> bool:
    """Whether all metrics of an epoch are finite: those of a trial that has not diverged."""
    return all(map(math.isfinite, metrics.values()))


class TrialState(StrEnum):
    """The state of a trial.

    RUNNING trials have work under way. PAUSED ones wait at a rung and may be promoted. The others
    have ended: COMPLETE at the full budget or by a rule of their own, PRUNED by the scheduler,
    DIVERGED by a loss that was not finite. INFEASIBLE ones break a constraint by their shape alone
    and never train.
    """

    RUNNING = "running"
    PAUSED = "paused"
    COMPLETE = "complete"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    INFEASIBLE = "infeasible"

    @property
    def is_finished(self) -> bool:
        """Whether the trial will never train again."""
        return self is not TrialState.RUNNING and self is not TrialState.PAUSED


@dataclass(frozen=True, slots=True)
class Trial:
    """One choice of `hparams` and its results so far.

    `losses[e - 1]` is the objective after epoch `e`, negated if it is maximised: search code
    always minimises. A diverged trial's `losses` stop before the epoch that was not finite.

    With several objectives, `values` holds each after the last epoch, minimised too, and `losses`
    follows the first. `violation` is the sum by which the trial breaks the study's constraints; 0
    if it keeps them.

    The last `held` losses are those of epochs that it left out, because a rule of its own had
    stopped it. They repeat the loss that judges it.

    `exploited` is the epoch after which it last continued another trial's weights, 0 for never.
    `hparams` are then the values since that epoch.
    """

    number: int
    hparams: HParams
    state: TrialState = TrialState.RUNNING
    losses: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    violation: float = 0.0
    exploited: int = 0
    held: int = 0

    @property
    def epochs(self) -> int:
        """The budget that the trial is judged at, in epochs; a full one if it stopped by itself."""
        return len(self.losses)

    @property
    def trained(self) -> int:
        """The epochs that it has trained."""
        return len(self.losses) - self.held

    @property
    def is_full(self) -> bool:
        """Whether it is trained in full: to its last epoch, or until its own rule stopped it.

        Only such a trial can win.
        """
        return self.state is TrialState.COMPLETE


class Change(NamedTuple):
    """A trial as it was earlier (None for a new one), and as it is now."""

    before: Trial | None
    after: Trial

    @property
    def is_progress(self) -> bool:
        """Whether `after` can follow `before` in a study: a trial only trains further."""
        before, after = self
        if before is None:
            return True
        if before.hparams != after.hparams or before.losses != after.losses[: before.epochs]:
            return False
        has_ended = before.state in (TrialState.COMPLETE, TrialState.DIVERGED)
        return not has_ended or (before.state, before.losses) == (after.state, after.losses)


class Trials(list[Trial]):
    """All trials of a study, by number."""

    def __init__(
        self, trials: Iterable[Trial] = (), unfinished: Iterable[Trial] | None = None
    ) -> None:
        super().__init__(trials)
        self._unfinished = None if unfinished is None else list(unfinished)

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> Trials:
        """These trials, copied unless they are `Trials` already."""
        return trials if isinstance(trials, cls) else cls(trials)

    @property
    def unfinished(self) -> list[Trial]:
        """The trials that may train further."""
        if self._unfinished is None:
            # By identity, because a study may hold 10,000 trials.
            running, paused = TrialState.RUNNING, TrialState.PAUSED
            self._unfinished = [t for t in self if t.state is running or t.state is paused]
        return list(self._unfinished)

    def changes_since(self, mark: Trials) -> list[Change]:
        """The trials that are new or changed since `mark`, an earlier state of the study.

        Removed trials are not listed: compare the lengths.
        """
        # Compared by identity in C first, because few of thousands have changed.
        differ = compress(zip(mark, self, strict=False), map(is_not, mark, self))
        changed = [Change(before, after) for before, after in differ if before != after]
        return changed + [Change(None, after) for after in islice(self, len(mark), None)]


class Run(NamedTuple):
    """One training of a trial: on which of its seeds and folds, counted from 0.

    A run is in a lane, pauses, and has a checkpoint. A trial has a run for each seed and fold.
    Where rungs are shares of the rows or sizes of images, it has them for each rung. `budget` is
    then the rung: the epochs on all rows or pixels that the run is worth.
    """

    trial: int
    seed: int = 0
    fold: int = 0
    budget: int = 0

    @property
    def key(self) -> str:
        """The name of the run in stored events, file names and messages.

        `12` is one, `12.3` is on seed 3, `12.0.5` on fold 5, and `12.0.0.9` on a share of 9 epochs.

        A number that a trial's first run has too (0) is left out at the end.
        """
        most = max(place for place, number in enumerate(self) if number or not place)
        return ".".join(map(str, self[: most + 1]))

    def share(self, epochs: int) -> float:
        """The share of the training rows that it trains on, where a full training has `epochs`."""
        return self.budget / epochs if self.budget else 1.0

    def worth(self, epoch: int, epochs: int) -> int:
        """The whole epochs on all rows that its first `epoch` of `epochs` are worth."""
        return epoch * self.budget // epochs if self.budget else epoch

    @classmethod
    def parse(cls, key: str) -> Self:
        """The run with this key."""
        return cls(*map(int, key.split(".")))


@dataclass(frozen=True, slots=True, order=True)
class Job:
    """Work that may run now: train `trial` up to and including `to_epoch`.

    The number may be new: the study then asks the sampler, and the job starts the trial.
    """

    trial: int
    to_epoch: int


@dataclass(frozen=True, slots=True)
class RunJob:
    """Work of a run: train up to and including `to_epoch`."""

    run: Run
    to_epoch: int


@dataclass(frozen=True, slots=True)
class Exploit:
    """A trial goes on from the weights that `source` had after `epoch`, with these `hparams`."""

    kind: ClassVar[str] = "exploit"
    source: int
    epoch: int
    hparams: HParams
