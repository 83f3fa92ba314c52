"""The log of a study, folded to its trials."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.study.log.events import (
    Checkpoint,
    End,
    Event,
    Pause,
    Promote,
    Propose,
    Report,
    Start,
    Stop,
    StudyState,
    fold,
)
from hpo.trial import Run, Trial, TrialState
from tests.effort import effort
from tests.study.log.logs import ACCURACY, LOSS, logs


@given(logs(), st.integers(0, 30))
def test_events_applied_one_by_one_add_up_to_the_fold_of_the_log(log, half):
    state = fold(log[:half], ACCURACY)
    state.trials  # noqa: B018 - what has been looked at must still change
    for event in log[half:]:
        state.apply(event)
        state.trials  # noqa: B018

    whole = fold(log, ACCURACY)
    assert repr(state) == repr(whole)  # as text, because NaN is not equal to itself
    assert state.trials == whole.trials
    assert state.metrics.keys() == {trial.number for trial in state.trials}
    assert [state.trial(trial.number) for trial in state.trials] == state.trials
    assert [trial.number for trial in state.trials] == sorted(state.metrics)


def test_a_log_folds_to_its_trials():
    log = [
        Propose({"x": 1}, 0),
        Report(1, {"loss": 0.5}),
        Pause(1),
        Promote(1, 3),
        Report(2, {"loss": 0.25}),
        Checkpoint(2, "0-2.safetensors", "abc", Run(0)),
        End(TrialState.COMPLETE),
    ]

    state = fold([Event(seq, 0, seq * 10, what) for seq, what in enumerate(log, 1)], LOSS)

    assert state.trials == [Trial(0, {"x": 1}, TrialState.COMPLETE, (0.5, 0.25))]
    assert state.metrics == {0: [{"loss": 0.5}, {"loss": 0.25}]}
    assert state.checkpoints == {Run(0): Checkpoint(2, "0-2.safetensors", "abc", Run(0))}
    assert (state.proposed_ms, state.ended_ms) == ({0: 10}, {0: 70})
    assert state.seq == 7


@pytest.mark.parametrize(("goal", "loss"), [(ACCURACY, -0.75), (LOSS, 0.5)])
def test_losses_are_smaller_for_better_trials(goal, loss):
    log = [
        Event(1, 0, 0, Propose({}, 0)),
        Event(2, 0, 0, Report(1, {"accuracy": 0.75, "loss": 0.5})),
    ]

    assert fold(log, goal).trial(0).losses == (loss,)


def test_the_losses_of_a_diverged_trial_stop_before_the_epoch_that_was_not_finite():
    state = StudyState(LOSS)
    state.record(Propose({}, 0), 0, 0)
    state.record(Report(1, {"loss": 0.5}), 0, 0)
    state.record(Report(2, {"loss": math.nan}), 0, 0)
    state.record(End(TrialState.DIVERGED), 0, 0)

    assert state.trial(0).losses == (0.5,)
    assert len(state.metrics[0]) == 2


def test_a_study_is_stopped_until_a_driver_starts_it_again():
    state = StudyState(LOSS)
    state.record(Stop("timeout"), None, 0)
    assert state.stop == Stop("timeout")

    state.record(Start({}), None, 0)
    assert state.stop is None


@pytest.mark.parametrize(
    ("trial", "what"),
    [
        (0, Propose({}, 0)),
        (0, Report(1, {"loss": 0.5})),  # again
        (0, Report(3, {"loss": 0.5})),  # 2 is missing
        (1, Report(1, {"loss": 0.5})),
        (None, Pause(1)),
        (2, End(TrialState.PRUNED)),
    ],
)
def test_an_event_that_cannot_follow_the_log_is_refused(trial, what):
    state = StudyState(LOSS)
    state.record(Propose({}, 0), 0, 0)
    state.record(Report(1, {"loss": 0.5}), 0, 0)
    state.record(Propose({}, 0), 2, 0)
    state.record(End(TrialState.PRUNED), 2, 0)

    with pytest.raises(ValueError, match="event 5"):
        state.record(what, trial, 0)


def test_the_time_of_folding_grows_no_faster_than_the_log():
    def cost(trials):
        state = StudyState(ACCURACY)
        log = []
        for number in range(trials):
            log.append(state.record(Propose({"x": number}, state.seq), number, 0))
            log += [state.record(Report(e, {"accuracy": e / 10}), number, 0) for e in range(1, 10)]
            log.append(state.record(End(TrialState.COMPLETE), number, 0))
        assert len(fold(log, ACCURACY).trials) == trials
        return effort(lambda: fold(log, ACCURACY).trials)

    # Ten times as many trials; quadratic work would be a hundred times as much.
    assert cost(1_000) < 15 * cost(100)
