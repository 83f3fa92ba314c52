"""A trial: one choice of hyperparameters, trained up to some budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeAlias

# Anything that YAML and JSON can hold: a choice may be a list or a mapping.
HParam: TypeAlias = "float | int | str | bool | list[HParam] | dict[str, HParam] | None"
HParams: TypeAlias = Mapping[str, HParam]


class TrialState(StrEnum):
    """Where a trial stands.

    RUNNING trials have work under way; PAUSED ones wait at a rung and may be promoted; the rest
    have ended: COMPLETE at the full budget, PRUNED by the scheduler, DIVERGED by a loss that was
    not finite, INFEASIBLE without training, by a constraint that its shape alone breaks.
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
    """One choice of `hparams` and what came of it so far.

    `losses[e - 1]` is the objective after epoch `e`, negated where it is maximised: search code
    always minimises. A diverged trial's `losses` stop before the epoch that was not finite.

    `values` are those of every objective after the last epoch, minimised too, where there are
    several; `losses` follows the first. `violation` is by how much the trial breaks the study's
    constraints, in all; 0 where it keeps them.

    `exploited` is the epoch after which it last went on from another trial's weights, 0 for never;
    `hparams` are then those that it has had since.
    """

    number: int
    hparams: HParams
    state: TrialState = TrialState.RUNNING
    losses: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    violation: float = 0.0
    exploited: int = 0

    @property
    def epochs(self) -> int:
        """The budget that the trial has had, in epochs."""
        return len(self.losses)


class Trials(list[Trial]):
    """All trials of a study, by number, with those among them that may train on.

    It spares whoever looks for those a walk through thousands that have ended.
    """

    def __init__(self, trials: Iterable[Trial], unfinished: Iterable[Trial]) -> None:
        super().__init__(trials)
        self.unfinished = list(unfinished)


@dataclass(frozen=True, slots=True, order=True)
class Job:
    """Work that may run now: train `trial` from `from_epoch` up to and including `to_epoch`.

    A job from epoch 0 starts the trial; its number may be one that no trial has yet (the study
    then asks the sampler for it).
    """

    trial: int
    from_epoch: int
    to_epoch: int


@dataclass(frozen=True, slots=True)
class Exploit:
    """A trial goes on from the weights that `source` had after `epoch`, with these `hparams`."""

    kind: ClassVar[str] = "exploit"
    source: int
    epoch: int
    hparams: HParams
