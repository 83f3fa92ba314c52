"""The scheduler `none`: every trial trains in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpo.search.scheduler import Bracket
from hpo.search.schedulers.jobs import in_priority, one_rung, starts
from hpo.spec.sections.scheduler import NoScheduler
from hpo.trial import Job, Trial, Trials


def make_full(spec: NoScheduler, epochs: int, trials: int) -> FullTraining:
    """The scheduler `none` of a study."""
    return FullTraining(epochs, trials)


@dataclass(frozen=True)
class FullTraining:
    """Every trial trains in full."""

    epochs: int
    total: int

    @property
    def brackets(self) -> tuple[Bracket, ...]:
        """One bracket of one rung: no trial is compared with another."""
        return one_rung(self.total, self.epochs)

    def runnable(self, trials: Sequence[Trial], window: int) -> tuple[Job, ...]:
        """The work begun, then starts."""
        begun = (
            Job(trial.number, self.epochs)
            for trial in Trials.of(trials).unfinished
            if trial.epochs < self.epochs
        )
        return (*in_priority((), begun), *starts(len(trials), self.total, window, self.epochs))

    def eliminated(self, trials: Sequence[Trial]) -> frozenset[int]:
        """None, ever."""
        return frozenset()
