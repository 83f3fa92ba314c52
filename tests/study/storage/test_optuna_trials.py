"""Trials as Optuna's tables show them."""

from datetime import datetime

import optuna
import pytest

from hpo.spec.sections.goal import Constraint, Goal, Objective
from hpo.study.log.events import (
    Cost,
    End,
    Pause,
    Propose,
    Report,
    Start,
    Stop,
    StudyState,
)
from hpo.study.storage.optuna_trials import directions_of, standing_of, touched_by
from hpo.trial import TrialState

ACCURACY, FLOPS = Objective(maximize="accuracy"), Objective(minimize="flops")
SMALL = Constraint(metric="parameters", at_most=100)
# Five seconds after the start of 1970.
START_MS = 5_000


def stood(*happenings, goal=None, is_final=False):
    """Where a trial stands after its proposal and what happened to it, a second apart."""
    state = StudyState(goal or Goal((ACCURACY,)))
    for second, what in enumerate((Propose({"x": 1}, 0), *happenings)):
        state.record(what, 0, START_MS + 1000 * second)
    return standing_of(state, 0, is_final=is_final)


REPORT = Report(1, {"accuracy": 0.75, "loss": 0.5})


@pytest.mark.parametrize(
    ("happenings", "is_final", "state", "label", "values"),
    [
        ([REPORT], False, "RUNNING", None, ()),
        ([REPORT, Pause(1)], False, "RUNNING", "paused", ()),
        ([REPORT, Pause(1)], True, "PRUNED", "paused", (0.75,)),  # it will never go on
        ([REPORT, End(TrialState.COMPLETE)], False, "COMPLETE", None, (0.75,)),
        ([REPORT, End(TrialState.PRUNED)], False, "PRUNED", None, (0.75,)),
        ([REPORT, End(TrialState.DIVERGED)], False, "FAIL", "diverged", ()),
        ([End(TrialState.INFEASIBLE)], False, "PRUNED", "infeasible", ()),
    ],
)
def test_a_state_of_ours_is_one_of_optunas_with_a_label(happenings, is_final, state, label, values):
    standing = stood(*happenings, is_final=is_final)
    assert (standing.state, standing.label, standing.values) == (state, label, values)
    assert hasattr(optuna.trial.TrialState, standing.state)


def test_only_a_complete_trial_has_all_values_of_several_objectives():
    goal = Goal((ACCURACY, FLOPS))
    run = (Cost({"flops": 30.0}), REPORT)
    assert stood(*run, End(TrialState.PRUNED), goal=goal).values == ()
    assert stood(*run, End(TrialState.COMPLETE), goal=goal).values == (0.75, 30.0)


def test_an_ended_trial_has_its_metrics_constraints_and_times():
    happenings = (Cost({"parameters": 150.0}), REPORT)
    goal = Goal((ACCURACY,), (SMALL,))
    running = stood(*happenings, goal=goal)
    assert (running.metrics, running.constraints, running.ended) == ({}, {}, None)

    ended = stood(*happenings, End(TrialState.COMPLETE), goal=goal)
    assert ended.metrics == {"accuracy": 0.75, "loss": 0.5, "parameters": 150.0}
    assert ended.constraints == {"parameters at most 100": 0.5}
    assert ended.started == datetime(1970, 1, 1, 0, 0, 5)
    assert (ended.ended - ended.started).total_seconds() == 3


def test_numbers_that_json_does_not_have_are_left_out():
    report = Report(1, {"accuracy": float("nan"), "loss": 0.5})
    standing = stood(report, End(TrialState.COMPLETE))
    assert (standing.values, standing.metrics) == ((), {"loss": 0.5})


def test_the_start_and_the_end_of_a_run_touch_paused_trials_too():
    state = StudyState(Goal((ACCURACY,)))
    state.record(Propose({}, 0), 0, 0)
    state.record(REPORT, 0, 0)
    state.record(Pause(1), 0, 0)
    state.record(Propose({}, 0), 1, 0)
    report = state.record(REPORT, 1, 0)
    assert touched_by([report], state) == {1}
    for what in (Start({}), Stop("finished")):
        assert touched_by([state.record(what, None, 0)], state) == {0}


def test_objectives_have_optunas_directions():
    directions = optuna.study.StudyDirection
    assert directions_of(Goal((ACCURACY, FLOPS))) == [directions.MAXIMIZE, directions.MINIMIZE]
