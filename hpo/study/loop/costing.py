"""Keeps account of what trials cost, and notes it in the log together with their progress."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from hpo.study.log.events import Cost
from hpo.study.log.notes import EXPORTED, decided_engine
from hpo.study.storage.journal import Journal
from hpo.trial import Run


class Costing:
    """The costs of the trials of a study.

    Seconds and joules are noted when the trial pauses, ends or has a checkpoint. If the run is
    killed before that, the same epochs train again, and what they take is counted then.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._spent: defaultdict[int, dict[str, float]] = defaultdict(dict)

    @property
    def is_timed(self) -> bool:
        """Whether the study asks for `latency_ms`, and JAX measures it after a trial's training."""
        state = self._journal.state
        engine = decided_engine(state.notes)
        is_exported = engine is not None and engine.name == EXPORTED
        return "latency_ms" in state.goal.metrics and not is_exported

    def price(self, trial: int, costs: Mapping[str, float]) -> bool:
        """Note the costs of a new trial's shape; whether these alone break a constraint."""
        self.note(trial, costs)
        return self._journal.state.trial(trial).violation > 0

    def spend(self, seconds: Mapping[Run, float], joules: Mapping[Run, float]) -> None:
        """Add these seconds and joules of training to the runs' trials; 0 joules are not known."""
        for name, each in (("train_seconds", seconds), ("energy_joules", joules)):
            for run, used in each.items():
                if used:
                    spent = self._spent[run.trial]
                    spent[name] = spent.get(name, 0.0) + used

    def note(self, trial: int, costs: Mapping[str, float]) -> None:
        """Note measured costs of a trial; of several seeds, the smallest value counts."""
        known = self._journal.state.costs[trial]
        if costs:
            least = {name: min(value, known.get(name, value)) for name, value in costs.items()}
            self._journal.record(Cost(least), trial)

    def settle(self, trial: int) -> None:
        """Note what the training of a trial has taken, including that before a resume."""
        spent = self._spent.pop(trial, None)
        if spent:
            known = self._journal.state.costs[trial]
            whole = {name: round(known.get(name, 0.0) + used, 6) for name, used in spent.items()}
            self._journal.record(Cost(whole), trial)
