"""The log of a study: what each event does to the state, and what no log can hold."""

import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.errors import DamagedError
from hpo.space import RangeMove
from hpo.spec.sections.goal import Constraint, Goal, Objective
from hpo.study.log.events import (
    Checkpoint,
    Cost,
    End,
    Event,
    Pause,
    Pin,
    Promote,
    Propose,
    ReplicaReport,
    Report,
    Start,
    Stop,
    StopReason,
    StudyState,
    Times,
    fold,
    follow,
)
from hpo.study.log.notes import Learn, Move
from hpo.trial import Exploit, Run, Trial, TrialState
from tests.effort import effort
from tests.study.log.logs import ACCURACY, LOSS, logs


def state_of(*happenings, goal=LOSS):
    """The state after (trial, what), each a millisecond after the one before."""
    state = StudyState(goal)
    for time_ms, (trial, what) in enumerate(happenings, 1):
        state.record(what, trial, time_ms)
    return state


def reports(trial, *losses, first=1):
    return [(trial, Report(epoch, {"loss": loss})) for epoch, loss in enumerate(losses, first)]


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


def test_a_new_study_is_empty():
    state = StudyState(LOSS)

    assert (state.seq, state.epochs, len(state), state.trials) == (0, 0, 0, [])
    assert state.stop is None


@pytest.mark.parametrize(
    ("happenings", "state"),
    [
        ([], TrialState.RUNNING),
        ([Pause(0)], TrialState.PAUSED),
        ([Pause(0), Promote(0, 3)], TrialState.RUNNING),
        *(([End(end)], end) for end in TrialState if end.is_finished),
    ],
)
def test_the_last_event_of_a_trial_gives_its_state(happenings, state):
    found = state_of((4, Propose({"x": 1}, 0)), *((4, what) for what in happenings))

    assert found.trials == [Trial(4, {"x": 1}, state)]
    assert found.unfinished == (set() if state.is_finished else {4})
    assert found.ended == ([4] if state.is_finished else [])
    assert found.trials.unfinished == ([] if state.is_finished else found.trials)


def test_trials_are_sorted_by_number_and_ends_by_time():
    state = state_of((7, Propose({}, 0)), (2, Propose({}, 1)))
    assert [trial.number for trial in state.trials] == [2, 7]

    for number, what in [
        (5, Propose({}, 1)),
        (7, End(TrialState.PRUNED, 4)),
        (2, End(TrialState.DIVERGED, 3)),
    ]:
        state.record(what, number, 10 * number)

    assert [trial.number for trial in state.trials] == [2, 5, 7]
    assert [trial.state for trial in state.trials] == ["diverged", "running", "pruned"]
    assert state.ended == [7, 2]
    assert (state.unfinished, len(state)) == ({5}, 3)
    assert state.proposed_ms == {7: 1, 2: 2, 5: 50}
    assert state.ended_ms == {7: 70, 2: 20}
    assert state.history_seq == {7: 0, 2: 1, 5: 1}
    assert state.together == {7: 4, 2: 3}


def test_a_trial_is_up_to_date_before_and_after_all_are_listed():
    state = state_of((0, Propose({}, 0)))
    assert state.trial(0).losses == ()

    for epoch in (1, 2):
        state.record(Report(epoch, {"loss": 1 / epoch}), 0, 0)
        assert state.trial(0).epochs == epoch
        assert state.trials == [state.trial(0)]
    with pytest.raises(KeyError):
        state.trial(1)


def test_the_results_of_a_trial_are_its_last_metrics_and_its_latest_costs():
    state = state_of(
        (0, Propose({}, 0)),
        (0, Cost({"parameters": 10, "train_seconds": 1.0})),
    )
    assert state.results(0) == {"parameters": 10, "train_seconds": 1.0}

    for what in (*(w for _, w in reports(0, 0.5, 0.25)), Cost({"train_seconds": 2.5})):
        state.record(what, 0, 0)
    assert state.results(0) == {"loss": 0.25, "parameters": 10, "train_seconds": 2.5}
    assert state.costs == {0: {"parameters": 10, "train_seconds": 2.5}}


def test_every_epoch_of_every_run_counts_once():
    state = state_of(
        (0, Propose({}, 0)),
        *reports(0, 0.9, 0.8, 0.7),
        (1, Propose({}, 0)),
        (1, ReplicaReport(1, Run(1, 0), {"loss": 0.4})),
        (1, ReplicaReport(1, Run(1, 1), {"loss": 0.6})),
        (1, Report(1, {"loss": 0.5})),  # the mean of the two
        (1, ReplicaReport(2, Run(1, 1), {"loss": 0.2})),
    )

    assert state.epochs == 3 + 2 + 1
    assert state.trial(1).losses == (0.5,)
    assert state.replicas == {
        1: {Run(1, 0): [{"loss": 0.4}], Run(1, 1): [{"loss": 0.6}, {"loss": 0.2}]}
    }


def test_the_latest_checkpoint_of_each_run_counts():
    first, second = Checkpoint(1, "a", "x", Run(0)), Checkpoint(2, "b", "y", Run(0))
    other = Checkpoint(1, "c", "z", Run(0, 1))

    state = state_of((0, Propose({}, 0)), *((0, what) for what in (first, other, second)))

    assert state.checkpoints == {Run(0): second, Run(0, 1): other}


def test_events_of_the_study_belong_to_no_trial():
    move = Move(RangeMove("x", 0.0, 0.4, 20, "because"))
    learn = Learn("a", True, (), ())
    state = state_of(
        (None, Start({"pid": 1})),
        (None, learn),
        (None, Pin("mlp", {"lanes": 4})),
        (None, Pin("cnn", {"lanes": 2})),
        (None, Pin("mlp", {"lanes": 8})),
        (None, move),
        (None, Times({"driver": {"waiting": 1.0}})),
        (None, Start({"pid": 2}, ("jax has changed",))),
    )

    assert state.starts == [
        Event(1, None, 1, Start({"pid": 1})),
        Event(8, None, 8, Start({"pid": 2}, ("jax has changed",))),
    ]
    assert state.notes == [learn, move]
    assert state.pins == {"mlp": {"lanes": 8}, "cnn": {"lanes": 2}}
    assert (state.seq, len(state), state.trials) == (8, 0, [])


def test_a_study_is_stopped_until_a_driver_starts_it_again():
    state = StudyState(LOSS)
    state.record(Stop("timeout"), None, 0)
    assert state.stop == Stop("timeout")

    state.record(Start({}), None, 0)
    assert state.stop is None


def test_a_study_that_was_interrupted_timed_out_or_failed_has_work_left():
    finals = {reason for reason in get_args(StopReason) if Stop(reason).is_final}

    assert finals == {"finished", "exhausted", "none_found", "target", "no_improvement", "epochs"}
    assert set(get_args(StopReason)) - finals == {"interrupted", "timeout", "failed"}


TWO = Goal((Objective(maximize="accuracy"), Objective(minimize="parameters")))
BOUNDED = Goal(
    (Objective(maximize="accuracy"),),
    (Constraint(metric="parameters", at_most=100), Constraint(metric="loss", at_most=0.5)),
)
EPOCH = Report(1, {"accuracy": 0.75, "loss": 0.75})


def test_a_trial_has_values_of_several_objectives_once_it_is_complete():
    happenings = [(0, Propose({}, 0)), (0, Cost({"parameters": 30, "flops": 5})), (0, EPOCH)]

    assert state_of(*happenings, goal=TWO).trial(0).values == ()
    happenings.append((0, End(TrialState.COMPLETE)))
    assert state_of(*happenings, goal=TWO).trial(0).values == (-0.75, 30)
    assert state_of(*happenings, goal=BOUNDED).trial(0).values == ()
    assert state_of(*happenings, goal=ACCURACY).trial(0).values == ()


def test_a_trial_breaks_bounds_of_its_shape_at_once_and_others_at_its_end():
    shape = [(0, Propose({}, 0)), (0, Cost({"parameters": 150}))]
    trained = [*shape, (0, EPOCH)]
    complete = [*trained, (0, End(TrialState.COMPLETE))]

    def violation(happenings, goal=BOUNDED):
        return state_of(*happenings, goal=goal).trial(0).violation

    # Parameters half above their bound, then the loss half above its own too.
    assert violation(shape) == violation(trained) == 0.5
    assert violation(complete) == 1.0
    assert violation(complete, ACCURACY) == violation(complete, TWO) == 0.0


@pytest.fixture
def copied():
    """Trial 1 has diverged after two epochs, and goes on from trial 0 after three."""
    return state_of(
        (0, Propose({"x": 1.0, "w": [8]}, 0)),
        (1, Propose({"x": 9.0, "w": [16]}, 0)),
        (2, Propose({"x": 5.0, "w": [16]}, 0)),
        (0, Cost({"parameters": 10, "flops": 20, "train_seconds": 2.0})),
        (1, Cost({"parameters": 30, "flops": 90, "train_seconds": 5.0})),
        *reports(0, 0.9, 0.5, 0.4),
        (0, Checkpoint(3, "0-3", "abc", Run(0))),
        *reports(1, 0.9, math.nan),
        (1, Checkpoint(1, "1-1", "def", Run(1))),
        (2, End(TrialState.PRUNED)),
        (1, End(TrialState.DIVERGED)),
        (1, Exploit(0, 3, {"x": 1.2, "w": [8]})),
    )


def test_a_trial_that_copies_another_waits_with_the_copys_hparams(copied):
    assert copied.trial(1) == Trial(
        1, {"x": 1.2, "w": [8]}, TrialState.PAUSED, (0.9, math.inf, math.inf), exploited=3
    )
    assert copied.trials[1] == copied.trial(1)
    assert (copied.trial(0).exploited, copied.trial(0).state) == (0, TrialState.RUNNING)


def test_the_missing_epochs_of_a_diverged_trial_are_filled_with_nan(copied):
    assert copied.metrics[1][0] == {"loss": 0.9}
    assert len(copied.metrics[1]) == 3
    assert all(math.isnan(metrics["loss"]) for metrics in copied.metrics[1][1:])

    copied.record(Promote(3, 6), 1, 0)
    copied.record(Report(4, {"loss": 0.2}), 1, 0)
    assert copied.trial(1).losses == (0.9, math.inf, math.inf, 0.2)


def test_a_diverged_trial_that_copies_another_has_not_ended(copied):
    assert (copied.ended, copied.unfinished) == ([2], {0, 1})
    assert copied.ended_ms.keys() == {2}

    copied.record(End(TrialState.COMPLETE), 1, 99)
    assert (copied.ended, copied.ended_ms[1]) == ([2, 1], 99)


def test_the_list_of_ends_is_a_new_object_once_a_trial_has_left_it():
    state = state_of((0, Propose({}, 0)), (1, Propose({}, 0)), *reports(0, 0.5), *reports(1, 0.9))
    state.record(End(TrialState.PRUNED), 1, 0)
    followed = state.ended

    state.record(Exploit(0, 1, {}), 1, 0)

    assert (followed, state.ended) == ([1], [])


def test_a_copy_has_the_checkpoint_and_the_shapes_costs_of_its_source(copied):
    source = Checkpoint(3, "0-3", "abc", Run(0))
    assert copied.checkpoints == {
        Run(0): source,
        Run(1): Checkpoint(3, "0-3", "abc", Run(1)),
    }
    assert copied.costs[1] == {"parameters": 10, "flops": 20, "train_seconds": 5.0}
    assert copied.costs[0] == {"parameters": 10, "flops": 20, "train_seconds": 2.0}


def test_a_trial_that_copies_one_without_a_checkpoint_has_none_either():
    state = state_of(
        (0, Propose({}, 0)),
        (1, Propose({}, 0)),
        *reports(0, 0.5),
        *reports(1, 0.9),
        (1, Checkpoint(1, "1-1", "def", Run(1))),
        (1, Exploit(0, 1, {})),
    )
    assert state.checkpoints == {}


def test_a_copy_of_a_running_trial_keeps_its_own_losses():
    state = state_of(
        (0, Propose({}, 0)), (1, Propose({}, 0)), *reports(0, 0.5, 0.4), *reports(1, 0.9, 0.8)
    )
    assert state.trials[1].exploited == 0
    state.record(Exploit(0, 2, {"x": 1}), 1, 0)

    assert state.trials[1] == state.trial(1)
    assert state.trial(1).exploited == 2
    assert state.trial(1).losses == (0.9, 0.8)
    assert state.metrics[1] == [{"loss": 0.9}, {"loss": 0.8}]
    assert state.line(1) == [{"loss": 0.5}, {"loss": 0.4}]
    assert state.line(0) == state.metrics[0]


@pytest.mark.parametrize(
    ("trial", "what", "says"),
    [
        (0, Propose({}, 0), "event 7 proposes trial 0 again"),
        (None, Propose({}, 0), "event 7 proposes trial None again"),
        (0, Report(2, {"loss": 0.5}), "event 7 reports epoch 2 of trial 0"),  # again
        (0, Report(4, {"loss": 0.5}), "event 7 reports epoch 4 of trial 0"),  # 3 is missing
        (0, ReplicaReport(2, Run(0, 1), {"loss": 1}), "event 7 reports epoch 2 of run 0.1"),
        (1, Report(1, {"loss": 0.5}), r"event 7 \(report\): trial 1 is not under way"),
        (None, Pause(1), r"event 7 \(pause\): trial None is not under way"),
        (2, End(TrialState.PRUNED), r"event 7 \(end\): trial 2 is not under way"),
        (3, Exploit(0, 3, {}), "event 7: trial 3 cannot go on from 0"),  # which has 2 epochs
        (3, Exploit(5, 1, {}), "event 7: trial 3 cannot go on from 5"),
        (7, Exploit(0, 1, {}), "event 7: trial 7 cannot go on from 0"),
        (None, Exploit(0, 1, {}), "event 7: trial None cannot go on from 0"),
    ],
)
def test_an_event_that_cannot_follow_the_log_is_refused(trial, what, says):
    log = [
        (0, Propose({}, 0)),
        *reports(0, 0.5, 0.4),
        (2, Propose({}, 0)),
        (2, End(TrialState.PRUNED)),
        (3, Propose({}, 0)),
    ]
    state = state_of(*log)
    assert state.together == {2: 0}  # it had no lane

    with pytest.raises(ValueError, match=f"^{says}$"):
        state.record(what, trial, 0)
    assert (state.seq, state.trials) == (6, state_of(*log).trials)


@pytest.mark.parametrize("seq", [1, 2])
def test_an_event_comes_after_those_before_it(seq):
    state = state_of((0, Propose({}, 0)), (0, Pause(0)))

    with pytest.raises(ValueError, match=f"event {seq} comes after event 2"):
        state.apply(Event(seq, 0, 0, Promote(0, 1)))
    state.apply(Event(9, 0, 0, Promote(0, 1)))  # rows of other kinds may lie between
    assert state.seq == 9


def test_damage_names_the_database_and_the_event():
    log = [Event(1, 0, 0, Propose({}, 0)), Event(2, 0, 0, Report(5, {"loss": 0.5}))]

    with pytest.raises(DamagedError, match=r"hpo\.db.*hpo_events, event 2: .*epoch 5 of trial 0"):
        fold(log, LOSS, "hpo.db")
    with pytest.raises(DamagedError, match=r"the log.*hpo_events, event 2: "):
        fold(log, LOSS)
    with pytest.raises(DamagedError, match=r"event 3: no 'loss'"):
        follow(fold(log[:1], LOSS), [Event(3, 0, 0, Report(1, {"accuracy": 1}))], "hpo.db")


@pytest.mark.parametrize(
    ("what", "word"),
    [
        (Propose({}, 0), "propose"),
        (Report(1, {}), "report"),
        (ReplicaReport(1, Run(0), {}), "replica"),
        (Pause(1), "pause"),
        (Promote(1, 2), "promote"),
        (Checkpoint(1, "a", "b", Run(0)), "checkpoint"),
        (Cost({}), "cost"),
        (End(TrialState.PRUNED), "end"),
        (Start({}), "start"),
        (Stop("finished"), "stop"),
        (Pin("mlp", {}), "pin"),
        (Times({}), "times"),
    ],
)
def test_databases_know_each_kind_of_event_by_its_word(what, word):
    assert Event(1, None, 0, what).kind == word


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
