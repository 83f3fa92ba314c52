"""Keeps account of what trials cost, and notes it in the log together with their progress."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from hpo.study.log.events import Cost
from hpo.study.storage.journal import Journal
from hpo.trial import Run


class Costing:
    """The costs of the trials of a study.

    Seconds are noted when the trial pauses, ends or has a checkpoint. If the run is killed before
    that, the same epochs train again, and their seconds are counted then.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._seconds: defaultdict[int, float] = defaultdict(float)

    @property
    def is_timed(self) -> bool:
        """Whether the study asks for `latency_ms`."""
        return "latency_ms" in self._journal.state.goal.metrics

    def price(self, trial: int, costs: Mapping[str, float]) -> bool:
        """Note the costs of a new trial's shape; whether these alone break a constraint."""
        self.note(trial, costs)
        return self._journal.state.trial(trial).violation > 0

    def spend(self, seconds: Mapping[Run, float]) -> None:
        """Add these seconds of training to the runs' trials."""
        for run, spent in seconds.items():
            self._seconds[run.trial] += spent

    def note(self, trial: int, costs: Mapping[str, float]) -> None:
        """Note measured costs of a trial; of several seeds, the smallest value counts."""
        known = self._journal.state.costs[trial]
        if costs:
            least = {name: min(value, known.get(name, value)) for name, value in costs.items()}
            self._journal.record(Cost(least), trial)

    def settle(self, trial: int) -> None:
        """Note the seconds that a trial has trained, including those before a resume."""
        seconds = self._seconds.pop(trial, 0.0)
        if seconds:
            before = self._journal.state.costs[trial].get("train_seconds", 0.0)
            self._journal.record(Cost({"train_seconds": round(before + seconds, 6)}), trial)
