"""How a trial and its hyperparameters look to Optuna.

Its categories are plain values, so lists and mappings among choices appear as JSON. Optuna is
imported where it is needed: that takes 0.3 s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from hpo.spec.search import Objective
from hpo.study.events import Event, Start, Stop, StudyState
from hpo.study.lineage import Lineage
from hpo.trial import Trial, TrialState


class Standing(NamedTuple):
    """A trial as Optuna's tables show it."""

    trial: Trial
    state: str
    label: str | None
    value: float | None
    metrics: Mapping[str, float]
    started: datetime
    ended: datetime | None
    lineage: Lineage


def standing_of(state: StudyState, number: int, *, is_final: bool) -> Standing:
    """How a trial stands; with `is_final`, paused trials show as pruned."""
    trial, label = state.trial(number), None
    metrics = state.metrics[number][-1] if state.metrics[number] else {}
    match trial.state:
        case TrialState.PAUSED:
            shown, label = "PRUNED" if is_final else "RUNNING", "paused"
        case TrialState.DIVERGED:
            shown, label = "FAIL", "diverged"
        case _:
            shown = trial.state.name
    value = metrics.get(state.objective.metric) if shown in ("COMPLETE", "PRUNED") else None
    if value is not None and not math.isfinite(value):
        value = None
    ended = state.ended_ms.get(number)
    return Standing(
        trial,
        shown,
        label,
        value,
        # Finite alone, because the dashboard's JSON knows nothing else.
        {k: v for k, v in metrics.items() if math.isfinite(v)} if ended is not None else {},
        _utc(state.proposed_ms[number]),
        None if ended is None else _utc(ended),
        state.lineage(number),
    )


def take_in(state: StudyState, events: Sequence[Event]) -> set[int]:
    """Applies events; the numbers of the trials that now show differently."""
    for event in events:
        state.apply(event)
    touched = {event.trial for event in events if event.trial is not None}
    if any(isinstance(event.what, Start | Stop) for event in events):
        touched |= {trial.number for trial in state.trials if trial.state is TrialState.PAUSED}
    return touched


def direction_of(objective: Objective) -> Any:
    """Optuna's word for the direction of an objective."""
    from optuna.study import StudyDirection

    return StudyDirection.MAXIMIZE if objective.maximize else StudyDirection.MINIMIZE


def optuna_state(name: str) -> Any:
    """Optuna's own value for the name of a state."""
    from optuna.trial import TrialState as OptunaState

    return OptunaState[name]


def _utc(time_ms: int) -> datetime:
    # Naive, as Optuna's columns hold it.
    return datetime.fromtimestamp(time_ms / 1000, UTC).replace(tzinfo=None)
