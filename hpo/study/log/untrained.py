"""A study that trained nothing, because the shape of every model broke the constraints."""

from __future__ import annotations

from dataclasses import dataclass

from hpo.study.log.events import StudyState
from hpo.trial import TrialState


@dataclass(frozen=True)
class Miss:
    """A bound that a trial breaks, such as `parameters at most 3`, and the trial's own value."""

    bound: str
    metric: str
    value: float


@dataclass(frozen=True)
class Untrained:
    """How many trials there are, and which is `nearest`: its total violation is the smallest."""

    trials: int
    nearest: int
    misses: tuple[Miss, ...]


def untrained(state: StudyState) -> Untrained | None:
    """The trial nearest to the constraints, if none of the trials kept them; else None."""
    trials = state.trials
    if not trials or any(trial.state is not TrialState.INFEASIBLE for trial in trials):
        return None
    nearest = min(trials, key=lambda trial: (trial.violation, trial.number)).number
    results = state.results(nearest)
    misses = tuple(
        Miss(str(constraint), constraint.name, results[constraint.name])
        for constraint in state.goal.constraints
        if constraint.name in results and constraint.excess(results[constraint.name]) > 0
    )
    return Untrained(len(trials), nearest, misses)
