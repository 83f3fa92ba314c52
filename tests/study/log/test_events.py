import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.errors import StudyError
from hpo.spec.sections.goal import Goal, Objective
from hpo.study.log.event_rows import EventRow, from_rows, to_row
from hpo.study.log.events import (
    Checkpoint,
    Cost,
    End,
    Event,
    Pause,
    Pin,
    Promote,
    Propose,
    Report,
    Start,
    Stop,
    StudyState,
    Times,
    fold,
)
from hpo.trial import Trial, TrialState
from tests.effort import effort

ACCURACY = Goal((Objective(maximize="accuracy"),))
LOSS = Goal((Objective(minimize="loss"),))
hparams = st.dictionaries(
    st.sampled_from(["a", "a.b", "c"]),
    st.one_of(st.none(), st.booleans(), st.integers(), st.sampled_from(["relu", [64, 32], {}])),
    max_size=3,
)
metrics = st.fixed_dictionaries({"accuracy": st.floats(allow_nan=False), "loss": st.floats()})
ends = st.sampled_from([state for state in TrialState if state.is_finished])
reasons = st.sampled_from(["finished", "timeout"])


@st.composite
def logs(draw):
    """Logs as drivers write them: every trial lives from its proposal to at most one end."""
    state = StudyState(ACCURACY)
    log = []
    for _ in range(draw(st.integers(0, 30))):
        under_way = [trial.number for trial in state.trials if not trial.state.is_finished]
        kinds = ["propose", "start", "stop", "pin", "times"]
        if under_way:
            kinds += ["report", "report", "report", "cost", "pause", "promote", "checkpoint", "end"]
        kind = draw(st.sampled_from(kinds))
        number = draw(st.sampled_from(under_way)) if under_way else None
        epoch = len(state.metrics.get(number, ()))
        match kind:
            case "propose":
                # Numbers come in any order: pools propose for themselves.
                number = draw(st.sampled_from([n for n in range(50) if n not in state.metrics]))
                what = Propose(draw(hparams), state.seq)
            case "start":
                number, what = None, Start({"pid": 1}, ("jax has changed",))
            case "stop":
                number, what = None, Stop(draw(reasons))
            case "pin":
                number, what = None, Pin("mlp", {"lanes": draw(st.integers(1, 9))})
            case "times":
                number, what = None, Times({"pool 0": {"training": 1.5, "idle": 0.25}})
            case "report":
                what = Report(epoch + 1, draw(metrics))
            case "cost":
                what = Cost({"train_seconds": draw(st.floats(0, 1e9))})
            case "cost":
                what = Cost({"train_seconds": draw(st.floats(0, 1e9))})
            case "pause":
                what = Pause(epoch)
            case "promote":
                what = Promote(epoch, epoch + 2)
            case "checkpoint":
                what = Checkpoint(epoch, f"{number}-{epoch}.safetensors", "abc")
            case "end":
                what = End(draw(ends), draw(st.integers(0, 8)))
        log.append(state.record(what, number, len(log)))
    return log


@given(logs())
def test_an_event_is_read_back_from_its_row_unchanged(log):
    assert repr(from_rows([to_row(event) for event in log])) == repr(log)


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
        Checkpoint(2, "0-2.safetensors", "abc"),
        End(TrialState.COMPLETE),
    ]

    state = fold([Event(seq, 0, seq * 10, what) for seq, what in enumerate(log, 1)], LOSS)

    assert state.trials == [Trial(0, {"x": 1}, TrialState.COMPLETE, (0.5, 0.25))]
    assert state.metrics == {0: [{"loss": 0.5}, {"loss": 0.25}]}
    assert state.checkpoints == {(0, 0): Checkpoint(2, "0-2.safetensors", "abc")}
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


def test_an_event_of_a_later_version_asks_for_an_update():
    with pytest.raises(StudyError, match="'mutate', which this version of hpo does not know"):
        from_rows([EventRow(1, 0, "mutate", None, "{}", 0)])


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
