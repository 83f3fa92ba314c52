"""Which epoch judges a training, and when it stops by its own rule."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.spec.sections.goal import Objective
from hpo.study.log.events import End, Propose, Report, StudyState
from hpo.study.log.judging import Judging
from hpo.study.log.ranking import winner
from hpo.trial import TrialState
from tests.study.log.logs import ACCURACY, LOSS

CURVE = [0.9, 0.5, 0.45, 0.46, 0.44, 0.60, 0.61, 0.2]


def epoch_of_keras(losses, patience, min_delta):
    """The epoch at which `keras.callbacks.EarlyStopping` would stop, written as a loop."""
    best, wait = math.inf, 0
    for epoch, loss in enumerate(losses, start=1):
        wait += 1
        if loss + min_delta < best:
            best, wait = loss, 0
        if wait >= patience:
            return epoch
    return None


@given(
    st.lists(st.integers(0, 64).map(lambda n: n / 64), max_size=20),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.125, 0.25]),
)
def test_a_training_stops_where_a_loop_over_its_curve_stops(losses, patience, min_delta):
    judging = Judging(epochs=20, patience=patience, min_delta=min_delta)
    assert judging.stop_epoch(losses) == epoch_of_keras(losses, patience, min_delta)


def test_a_training_stops_at_its_target_in_the_units_of_the_metric():
    section = {"epochs": 9, "early_stop": {"target": 0.9}}
    judging = Judging.of(section, Objective(maximize="accuracy"))
    assert judging.stop_epoch([-0.5, -0.8, -0.9, -0.7]) == 3
    assert judging.stop_epoch([-0.5, -0.8]) is None


def test_the_best_epoch_is_the_first_of_equals():
    assert Judging(keeps_best=True).kept_epoch([0.3, 0.1, 0.2, 0.1]) == 2
    assert Judging().kept_epoch([0.3, 0.1, 0.2, 0.1]) == 4


def study(judging, *curves, goal=LOSS):
    """A study in which each trial has reported a curve and then ended."""
    state, metric = StudyState(goal, judging), goal.first.metric
    for number, curve in enumerate(curves):
        state.record(Propose({}, 0), number, 0)
        for epoch, value in enumerate(curve, start=1):
            state.record(Report(epoch, {metric: value, "epoch": epoch}), number, 0)
        state.record(End(TrialState.COMPLETE), number, 0)
    return state


def test_a_trial_that_stopped_by_its_own_rule_is_trained_in_full_and_can_win():
    state = study(Judging(epochs=8, patience=3), CURVE[:6], [0.7] * 8)
    stopped, other = state.trials
    assert (stopped.epochs, stopped.trained, stopped.held) == (8, 6, 2)
    assert stopped.losses == (*CURVE[:6], 0.60, 0.60)
    assert (other.epochs, other.trained) == (8, 8)
    assert winner(state.trials) == stopped


@pytest.mark.parametrize("goal", [LOSS, ACCURACY])
def test_keep_best_judges_a_trial_by_the_best_value_of_its_stored_curve(goal):
    curve = [0.5, 0.7, 0.2, 0.6]
    best = min(curve) if goal is LOSS else max(curve)
    state = study(Judging(epochs=4, keeps_best=True), curve, goal=goal)
    assert goal.first.loss(state.trial(0).losses[-1]) == best
    assert state.results(0) == {goal.first.metric: best, "epoch": curve.index(best) + 1}
    assert state.judged_epoch(0) == curve.index(best) + 1


def test_without_a_rule_a_trial_is_judged_by_its_last_epoch():
    state = study(Judging(epochs=4), [0.5, 0.7, 0.2, 0.6])
    assert state.trial(0).losses == (0.5, 0.7, 0.2, 0.6)
    assert state.results(0) == {"loss": 0.6, "epoch": 4}
