"""Patience: a trial that makes too little progress is stopped, or waits where it may still win."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from hpo.search.memory import Remembered
from hpo.search.scheduler import Bracket
from hpo.search.schedulers.jobs import has_just_completed, in_priority, one_rung, starts
from hpo.search.schedulers.rungs import check_min_epochs
from hpo.spec.sections.scheduler import Patience
from hpo.trial import Job, Trial, Trials

# One in this many trials that wait goes on beside other work.
_SHARE = 5
# Trials that have trained in full before any is judged by what they came to.
_FEWEST = 2


def make_patience(spec: Patience, epochs: int, trials: int) -> PlateauRule:
    """The scheduler `patience` of a study.

    Raises:
        HpoError: if trials would first be judged after their last epoch.
    """
    check_min_epochs(spec.min_epochs, epochs)
    return PlateauRule(epochs, trials, spec.patience(epochs), spec.min_delta, spec.min_epochs)


def halted_at(
    losses: Sequence[float], patience: int, min_delta: float, min_epochs: int
) -> int | None:
    """The epoch after which a loss had not improved for `patience` epochs, None if there is none.

    An improvement is more than `min_delta` below the best loss before it.

    Source: Prechelt 1998, "Early stopping - but when?" (Neural Networks: Tricks of the Trade), the
    criterion of successive epochs without progress.
    """
    best, progress = math.inf, 1
    for epoch, loss in enumerate(losses, start=1):
        if loss < best - min_delta:
            best, progress = loss, epoch
        elif epoch - progress >= patience and epoch >= min_epochs:
            return epoch
    return None


def gain_at_pace(losses: Sequence[float], patience: int, left: int) -> float:
    """What a loss would gain in the epochs `left` if it went on as in the last `patience` ones."""
    gain = min(losses[:-patience]) - min(losses)
    return gain / patience * left


def gains(losses: Sequence[float]) -> list[float]:
    """For each epoch, by how much a training ended below its best loss up to then."""
    return [best - losses[-1] for best in accumulate(losses, min)]


class _Completed:
    """What trials came to that have trained in full."""

    def __init__(self) -> None:
        self.largest_gains: list[float] = []  # for each epoch

    def see(self, before: Trial | None, after: Trial) -> None:
        if not has_just_completed(before, after):
            return
        own, largest = gains(after.losses), self.largest_gains
        self.largest_gains = list(map(max, own, largest)) if largest else own


@dataclass(frozen=True)
class PlateauRule:
    """Judges trials after every epoch, from the progress of the last `patience` ones.

    A trial halts where its loss has not improved by more than `min_delta`. It is eliminated if two
    estimates agree that it will not come below the winner's loss so far. One is its own pace, in a
    straight line to the end. The other is the largest gain from that epoch on of any trial trained
    in full. The latter knows of gains that come late, as with a learning rate that falls. A trial
    that has halted has no pace. Trials are judged so once two have been trained in full.

    Only a trial that has been trained in full can win, and one that no longer improves may be the
    best of all. So a trial that has halted, but may win, waits. The best of five that wait is
    trained to the end beside other work, and all of them, the best first, once no other work is
    left.

    Source: Domhan et al. 2015, "Speeding up automatic hyperparameter optimization of deep neural
    networks by extrapolation of learning curves" (IJCAI), to stop what will not reach the best. The
    estimates, and which trials go on, are ours.
    """

    epochs: int
    total: int
    patience: int
    min_delta: float
    min_epochs: int

    @property
    def brackets(self) -> tuple[Bracket, ...]:
        """One bracket of one rung: any trial may train in full."""
        return one_rung(self.total, self.epochs)

    @cached_property
    def _completed(self) -> Remembered[_Completed]:
        return Remembered(_Completed)

    def runnable(self, trials: Sequence[Trial], window: int) -> tuple[Job, ...]:
        """Trials that are sent to the end, the work begun an epoch at a time, then starts."""
        hopeless = self.eliminated(trials)
        first = self._first_look
        moving: list[Job] = []
        sent: list[Job] = []
        halted: list[Trial] = []
        for trial in Trials.of(trials).unfinished:
            if trial.epochs == self.epochs or trial.number in hopeless:
                continue
            halt = self._halted_at(trial)
            if halt == trial.epochs:
                halted.append(trial)
            elif halt is None:
                moving.append(Job(trial.number, max(trial.epochs + 1, first)))
            else:
                # Beyond the epoch where it halted, it has been sent to the end.
                sent.append(Job(trial.number, self.epochs))
        halted.sort(key=lambda trial: (trial.violation, trial.losses[-1], trial.number))
        if moving or len(trials) < self.total:
            del halted[max(0, (len(halted) + len(sent)) // _SHARE - len(sent)) :]
        promoted = [Job(trial.number, self.epochs) for trial in halted]
        new = starts(len(trials), self.total, window, first)
        return (*sorted(sent), *promoted, *in_priority((), moving), *new)

    def eliminated(self, trials: Sequence[Trial]) -> frozenset[int]:
        """Trials that will be no better than the winner so far, which keeps the constraints."""
        completed = [trial for trial in trials if trial.is_full]
        # With several objectives, the others may decide between equals.
        may_tie = any(trial.values for trial in completed)
        winner = min((t.losses[-1] for t in completed if t.violation <= 0), default=math.inf)
        if len(completed) < _FEWEST or math.isinf(winner):
            return frozenset()
        largest = self._completed.of(trials).largest_gains
        return frozenset(
            trial.number
            for trial in Trials.of(trials).unfinished
            if self._first_look <= trial.epochs < self.epochs
            and (expected := self._least_loss(trial, largest)) >= winner
            and not (may_tie and expected == winner)
        )

    @property
    def _first_look(self) -> int:
        return min(self.epochs, max(self.min_epochs, 1 + self.patience))

    def _least_loss(self, trial: Trial, largest_gains: Sequence[float]) -> float:
        """What a loss may come to, at its own pace or with the largest gain of another trial."""
        left = self.epochs - trial.epochs
        has_halted = self._halted_at(trial) == trial.epochs
        pace = 0.0 if has_halted else gain_at_pace(trial.losses, self.patience, left)
        return min(trial.losses) - max(pace, largest_gains[trial.epochs - 1])

    def _halted_at(self, trial: Trial) -> int | None:
        return halted_at(trial.losses, self.patience, self.min_delta, self.min_epochs)
