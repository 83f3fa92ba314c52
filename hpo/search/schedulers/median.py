"""Schedulers that only stop trials: never, or by the median of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hpo.search.schedulers.following import Following
from hpo.search.schedulers.jobs import in_priority, starts, unfinished
from hpo.trial import Job, Trial, TrialState


@dataclass(frozen=True)
class FullTraining:
    """Every trial trains in full."""

    epochs: int
    total: int

    def runnable(self, trials: Sequence[Trial], window: int) -> tuple[Job, ...]:
        """The work begun, then starts."""
        begun = (
            Job(trial.number, trial.epochs, self.epochs)
            for trial in unfinished(trials)
            if trial.epochs < self.epochs
        )
        return (*in_priority((), begun), *starts(len(trials), self.total, window, self.epochs))

    def eliminated(self, trials: Sequence[Trial]) -> frozenset[int]:
        """None, ever."""
        return frozenset()


class _Averages:
    """Running averages of completed trials, sorted, for every epoch; grows as trials complete."""

    def __init__(self) -> None:
        self._following = Following()
        self._sorted: list[list[float]] = []

    def follow(self, completed: Sequence[Trial]) -> None:
        """Take in the trials that have completed since; start again if others are gone."""
        new, starts_again = self._following.new(completed)
        if starts_again:
            self._sorted = []
        for trial in new:
            total = 0.0
            for epoch, loss in enumerate(trial.losses):
                total += loss
                if epoch == len(self._sorted):
                    self._sorted.append([])
                self._sorted[epoch].append(total / (epoch + 1))
        if new:
            for averages in self._sorted:
                averages.sort()

    def median(self, epochs: int) -> float:
        """The median over the completed trials of their mean loss in the first `epochs`."""
        averages = self._sorted[epochs - 1]
        middle = len(averages) // 2
        return (averages[middle] + averages[~middle]) / 2


@dataclass(frozen=True)
class MedianRule:
    """Stops a trial whose best loss so far is worse than the median of the completed ones'.

    Each completed trial stands there with its mean loss up to the same epoch. Trials are judged
    after every epoch from `min_epochs` on, once `startup_trials` have completed.

    Source: Golovin et al. 2017, "Google Vizier" (KDD), section 3.2.2.
    """

    epochs: int
    total: int
    min_epochs: int
    startup_trials: int
    _averages: _Averages = field(default_factory=_Averages, init=False, repr=False, compare=False)

    def runnable(self, trials: Sequence[Trial], window: int) -> tuple[Job, ...]:
        """The work begun, an epoch at a time, then starts."""
        stopped = self.eliminated(trials)
        begun = (
            Job(trial.number, trial.epochs, max(trial.epochs + 1, self.min_epochs))
            for trial in unfinished(trials)
            if trial.epochs < self.epochs and trial.number not in stopped
        )
        return (*in_priority((), begun), *starts(len(trials), self.total, window, self.min_epochs))

    def eliminated(self, trials: Sequence[Trial]) -> frozenset[int]:
        """Unfinished trials that are worse than the median."""
        completed = [trial for trial in trials if trial.state is TrialState.COMPLETE]
        if len(completed) < self.startup_trials:
            return frozenset()
        self._averages.follow(completed)
        return frozenset(
            trial.number
            for trial in unfinished(trials)
            if self.min_epochs <= trial.epochs < self.epochs
            and min(trial.losses) > self._averages.median(trial.epochs)
        )
