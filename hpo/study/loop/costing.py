"""What the trials of a study have cost so far, noted in its log with what a resume goes on from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from hpo.study.log.events import Cost
from hpo.study.loop.replicas import Replicas
from hpo.study.storage.journal import Journal


class Costing:
    """The driver's account of its trials' costs.

    Seconds wait here until the trial pauses, ends or has a checkpoint: what a kill loses of them is
    trained again, and counted then.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._seconds: defaultdict[int, float] = defaultdict(float)

    @property
    def is_timed(self) -> bool:
        """Whether the study asks how long its models take to answer."""
        return "latency_ms" in self._journal.state.goal.metrics

    def price(self, trial: int, costs: Mapping[str, float]) -> bool:
        """Note what a new trial's shape costs; whether that alone breaks a constraint."""
        self.note(trial, costs)
        return self._journal.state.trial(trial).violation > 0

    def spend(self, seconds: Mapping[int, float], replicas: Replicas) -> None:
        """Runs have trained for so long."""
        for run, spent in seconds.items():
            self._seconds[replicas.trial_of(run)] += spent

    def note(self, trial: int, costs: Mapping[str, float]) -> None:
        """What was measured of a trial; of several of its seeds the least disturbed counts."""
        known = self._journal.state.costs[trial]
        if costs:
            least = {name: min(value, known.get(name, value)) for name, value in costs.items()}
            self._journal.record(Cost(least), trial)

    def settle(self, trial: int) -> None:
        """Note the seconds that a trial has had, those of earlier runs included."""
        seconds = self._seconds.pop(trial, 0.0)
        if seconds:
            before = self._journal.state.costs[trial].get("train_seconds", 0.0)
            self._journal.record(Cost({"train_seconds": round(before + seconds, 6)}), trial)
