"""A trial as Optuna's tables show it: its state, values, constraints and attributes.

Optuna is imported where it is needed, because that takes 0.3 s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from hpo.spec.sections.goal import Goal
from hpo.study.log.events import Event, Start, Stop, StudyState
from hpo.study.log.lineage import Lineage
from hpo.trial import Trial, TrialState


class Standing(NamedTuple):
    """A trial as Optuna's tables show it; a constraint is kept if it is 0 or less."""

    trial: Trial
    state: str
    label: str | None
    values: tuple[float, ...]
    metrics: Mapping[str, float]
    constraints: Mapping[str, float]
    started: datetime
    ended: datetime | None
    lineage: Lineage


def standing_of(state: StudyState, number: int, *, is_final: bool) -> Standing:
    """A trial for Optuna's tables; with `is_final`, paused trials become pruned."""
    trial, label, goal = state.trial(number), None, state.goal
    metrics = state.results(number)
    match trial.state:
        case TrialState.PAUSED:
            shown, label = "PRUNED" if is_final else "RUNNING", "paused"
        case TrialState.DIVERGED:
            shown, label = "FAIL", "diverged"
        case TrialState.INFEASIBLE:
            shown, label = "PRUNED", "infeasible"
        case _:
            shown = trial.state.name
    values: tuple[float, ...] = ()
    # Optuna wants as many values as objectives, and only a complete trial has them all.
    if shown == "COMPLETE" or (shown == "PRUNED" and len(goal.objectives) == 1):
        values = tuple(metrics[o.metric] for o in goal.objectives if o.metric in metrics)
    if not all(map(math.isfinite, values)):
        values = ()
    ended = state.ended_ms.get(number)
    return Standing(
        trial,
        shown,
        label,
        values,
        # Only finite ones, because the dashboard's JSON has no others.
        {k: v for k, v in metrics.items() if math.isfinite(v)} if ended is not None else {},
        {
            str(constraint): constraint.excess(metrics[constraint.name])
            for constraint in (goal.constraints if shown != "FAIL" and ended is not None else ())
            if constraint.name in metrics
        },
        _utc(state.proposed_ms[number]),
        None if ended is None else _utc(ended),
        state.lineage(number),
    )


def touched_by(events: Sequence[Event], state: StudyState) -> set[int]:
    """The numbers of the trials that these events change in Optuna's tables."""
    touched = {event.trial for event in events if event.trial is not None}
    if any(isinstance(event.what, Start | Stop) for event in events):
        touched |= {trial.number for trial in state.trials if trial.state is TrialState.PAUSED}
    return touched


def directions_of(goal: Goal) -> list[Any]:
    """Optuna's words for the directions of the objectives."""
    from optuna.study import StudyDirection

    return [StudyDirection[objective.direction.upper()] for objective in goal.objectives]


def optuna_state(name: str) -> Any:
    """Optuna's value for the name of a state."""
    from optuna.trial import TrialState as OptunaState

    return OptunaState[name]


def _utc(time_ms: int) -> datetime:
    # Without a time zone, as in Optuna's columns.
    return datetime.fromtimestamp(time_ms / 1000, UTC).replace(tzinfo=None)
