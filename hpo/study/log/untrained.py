"""A study that trained nothing: every configuration broke the constraints by its shape alone."""

from __future__ import annotations

from dataclasses import dataclass

from hpo.study.log.events import StudyState
from hpo.trial import TrialState


@dataclass(frozen=True)
class Miss:
    """A bound that a trial breaks, such as `parameters at most 3`, and what it has instead."""

    bound: str
    metric: str
    value: float


@dataclass(frozen=True)
class Untrained:
    """Trials of which none was trained; the `nearest` breaks the constraints least, all told."""

    trials: int
    nearest: int
    misses: tuple[Miss, ...]


def untrained(state: StudyState) -> Untrained | None:
    """How near a study came to its constraints where none of its trials kept them; else None."""
    trials = state.trials
    if not trials or any(trial.state is not TrialState.INFEASIBLE for trial in trials):
        return None
    nearest = min(trials, key=lambda trial: (trial.violation, trial.number)).number
    results = state.results(nearest)
    misses = tuple(
        Miss(str(constraint), constraint.metric, results[constraint.metric])
        for constraint in state.goal.constraints
        if constraint.metric in results and constraint.excess(results[constraint.metric]) > 0
    )
    return Untrained(len(trials), nearest, misses)
