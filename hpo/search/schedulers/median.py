"""The scheduler `median`: a trial stops that is worse than the median of the completed ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from hpo.search.memory import Remembered
from hpo.search.scheduler import Bracket
from hpo.search.schedulers.jobs import has_just_completed, in_priority, one_rung, starts
from hpo.search.schedulers.rungs import check_min_epochs
from hpo.spec.sections.scheduler import Median
from hpo.trial import Job, Trial, Trials


def make_median(spec: Median, epochs: int, trials: int) -> MedianRule:
    """The scheduler `median` of a study.

    Raises:
        HpoError: if trials would first be compared after their last epoch.
    """
    check_min_epochs(spec.min_epochs or 1, epochs)
    return MedianRule(epochs, trials, spec.first_comparison(epochs), spec.startup_trials)


def is_worse_than_median(losses: Sequence[float], averages: Sequence[float]) -> bool:
    """Whether a trial's best loss so far is worse than the median of running averages.

    `averages` holds, in ascending order, the mean loss of each completed trial up to the same
    epoch.

    Source: Golovin et al. 2017, "Google Vizier" (KDD), section 3.2.2.
    """
    middle = len(averages) // 2
    return min(losses) > (averages[middle] + averages[~middle]) / 2


class _Completed:
    """The running averages of completed trials at every epoch."""

    def __init__(self) -> None:
        self.count = 0
        self._averages: list[list[float]] = []
        self._is_sorted = True

    def see(self, before: Trial | None, after: Trial) -> None:
        if not has_just_completed(before, after):
            return
        self.count += 1
        self._is_sorted = False
        for epoch, total in enumerate(accumulate(after.losses)):
            if epoch == len(self._averages):
                self._averages.append([])
            self._averages[epoch].append(total / (epoch + 1))

    def averages(self, epochs: int) -> list[float]:
        """The mean losses in the first `epochs`, in ascending order."""
        if not self._is_sorted:
            for averages in self._averages:
                averages.sort()
            self._is_sorted = True
        return self._averages[epochs - 1]


@dataclass(frozen=True)
class MedianRule:
    """Stops a trial whose best loss so far is worse than the median of the completed ones'.

    Each completed trial stands there with its mean loss up to the same epoch. Trials are judged
    after every epoch from `min_epochs` on, once `startup_trials` have completed.
    """

    epochs: int
    total: int
    min_epochs: int
    startup_trials: int

    @property
    def brackets(self) -> tuple[Bracket, ...]:
        """One bracket of one rung: any trial may train in full."""
        return one_rung(self.total, self.epochs)

    @cached_property
    def _completed(self) -> Remembered[_Completed]:
        return Remembered(_Completed)

    def runnable(self, trials: Sequence[Trial], window: int) -> tuple[Job, ...]:
        """The work begun, an epoch at a time, then starts."""
        stopped = self.eliminated(trials)
        begun = (
            Job(trial.number, max(trial.epochs + 1, self.min_epochs))
            for trial in Trials.of(trials).unfinished
            if trial.epochs < self.epochs and trial.number not in stopped
        )
        return (*in_priority((), begun), *starts(len(trials), self.total, window, self.min_epochs))

    def eliminated(self, trials: Sequence[Trial]) -> frozenset[int]:
        """Unfinished trials that are worse than the median."""
        completed = self._completed.of(trials)
        if completed.count < self.startup_trials:
            return frozenset()
        return frozenset(
            trial.number
            for trial in Trials.of(trials).unfinished
            if self.min_epochs <= trial.epochs < self.epochs
            and is_worse_than_median(trial.losses, completed.averages(trial.epochs))
        )
