"""Patience: a trial that makes too little progress is stopped, or waits where it may still win."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from hpo.search.schedulers.following import Following
from hpo.search.schedulers.jobs import in_priority, starts, unfinished
from hpo.trial import Job, Trial, TrialState

# One of so many trials that wait goes on beside other work.
_SHARE = 5
# Trials that have trained in full before any is judged by what they came to.
_FEWEST = 2


class _Gains:
    """For each epoch, the most by which a completed trial ended below its best loss up to then."""

    def __init__(self) -> None:
        self._following = Following()
        self._largest: list[float] = []

    def of(self, completed: Sequence[Trial]) -> list[float]:
        """The gains that these trials show."""
        new, starts_again = self._following.new(completed)
        largest = [] if starts_again else self._largest
        for trial in new:
            gains = [best - trial.losses[-1] for best in accumulate(trial.losses, min)]
            largest = list(map(max, gains, largest)) if largest else gains
        self._largest = largest
        return largest


@dataclass(frozen=True)
class PlateauRule:
    """Judges trials after every epoch, from the progress of the last `patience` ones.

    A trial halts where its loss has not improved by more than `min_delta`. It is eliminated if two
    things together say that it will not come below the winner's loss so far: its own pace, were it
    to go on in a straight line to the end, and the most that a trial which trained in full gained
    from that epoch on. The latter knows of gains that come late, as with a learning rate that
    falls; one that has halted has no pace. Two trials have to have trained in full before that.

    Only a trial that has been trained in full can win, and one that has stopped to improve may be
    the best of all. So what has halted, but may win, waits. The best of five that wait is trained
    to the end beside other work, and all of them, the best first, once no other work is left.

    Source: Prechelt 1998, "Early stopping - but when?" (Neural Networks: Tricks of the Trade), the
    criterion of successive epochs without progress; Domhan et al. 2015, "Speeding up automatic
    hyperparameter optimization of deep neural networks by extrapolation of learning curves", to
    stop what will not reach the best. How far a curve may come, and who goes on, are ours.
    """

    epochs: int
    total: int
    patience: int
    min_delta: float
    min_epochs: int
    _gains: _Gains = field(default_factory=_Gains, init=False, repr=False, compare=False)

    def runnable(self, trials: Sequence[Trial], window: int) -> tuple[Job, ...]:
        """Trials that are sent to the end, the work begun an epoch at a time, then starts."""
        hopeless = self.eliminated(trials)
        first = self._first_look
        moving: list[Job] = []
        sent: list[Job] = []
        halted: list[Trial] = []
        for trial in unfinished(trials):
            if trial.epochs == self.epochs or trial.number in hopeless:
                continue
            halted_at = self._halted_at(trial)
            if halted_at == trial.epochs:
                halted.append(trial)
            elif halted_at is None:
                moving.append(Job(trial.number, trial.epochs, max(trial.epochs + 1, first)))
            else:
                # Beyond the epoch where it halted, it has been sent to the end.
                sent.append(Job(trial.number, trial.epochs, self.epochs))
        halted.sort(key=lambda trial: (trial.violation, trial.losses[-1], trial.number))
        if moving or len(trials) < self.total:
            del halted[max(0, (len(halted) + len(sent)) // _SHARE - len(sent)) :]
        promoted = [Job(trial.number, trial.epochs, self.epochs) for trial in halted]
        new = starts(len(trials), self.total, window, first)
        return (*sorted(sent), *promoted, *in_priority((), moving), *new)

    def eliminated(self, trials: Sequence[Trial]) -> frozenset[int]:
        """Trials that will be no better than the winner so far, who keeps the constraints."""
        completed = [trial for trial in trials if trial.state is TrialState.COMPLETE]
        # Of several objectives the others tell equals apart.
        may_tie = any(trial.values for trial in completed)
        winner = min((t.losses[-1] for t in completed if t.violation <= 0), default=math.inf)
        if len(completed) < _FEWEST or math.isinf(winner):
            return frozenset()
        gains = self._gains.of(completed)
        return frozenset(
            trial.number
            for trial in unfinished(trials)
            if self._first_look <= trial.epochs < self.epochs
            and (expected := self._least_loss(trial, gains)) >= winner
            and not (may_tie and expected == winner)
        )

    @property
    def _first_look(self) -> int:
        return min(self.epochs, max(self.min_epochs, 1 + self.patience))

    def _least_loss(self, trial: Trial, gains: Sequence[float]) -> float:
        """What a trial may come to, at its own pace or with the largest gain of another."""
        return min(trial.losses) - max(self._pace(trial), gains[trial.epochs - 1])

    def _pace(self, trial: Trial) -> float:
        """What a trial would gain to the end as it did in the last epochs; 0 where it halted."""
        if self._halted_at(trial) == trial.epochs:
            return 0.0
        gain = min(trial.losses[: -self.patience]) - min(trial.losses)
        return gain / self.patience * (self.epochs - trial.epochs)

    def _halted_at(self, trial: Trial) -> int | None:
        """The epoch at which a trial first stopped to improve, None if it did not."""
        best, progress = math.inf, 1
        for epoch, loss in enumerate(trial.losses, start=1):
            if loss < best - self.min_delta:
                best, progress = loss, epoch
            elif epoch - progress >= self.patience and epoch >= self.min_epochs:
                return epoch
        return None
