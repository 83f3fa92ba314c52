"""Trials, and how they change during a study."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.trial import Change, Run, Trial, Trials, TrialState, is_finite

RUNNING, PAUSED, COMPLETE = TrialState.RUNNING, TrialState.PAUSED, TrialState.COMPLETE
DIVERGED = TrialState.DIVERGED


def test_changes_are_the_trials_that_are_new_or_differ_from_the_mark():
    first, second = Trial(0, {"x": 1}, PAUSED, (2.0,)), Trial(1, {"x": 2})
    mark = Trials([first, second])
    trained, third = replace(second, losses=(1.0,)), Trial(2, {"x": 3})
    assert Trials([first, trained, third]).changes_since(mark) == [
        Change(second, trained),
        Change(None, third),
    ]


def test_an_equal_copy_of_a_trial_is_no_change():
    mark = Trials([Trial(0, {"x": 1}, PAUSED, (2.0,))])
    assert Trials([Trial(0, {"x": 1}, PAUSED, (2.0,))]).changes_since(mark) == []
    assert mark.changes_since(Trials()) == [Change(None, mark[0])]


@pytest.mark.parametrize(
    ("before", "after", "is_progress"),
    [
        (None, Trial(0, {}), True),
        (Trial(0, {}), Trial(0, {}, RUNNING, (3.0,)), True),
        (Trial(0, {}, RUNNING, (3.0,)), Trial(0, {}, COMPLETE, (3.0, 2.0)), True),
        (Trial(0, {}, PAUSED, (3.0,)), Trial(0, {}, RUNNING, (2.0, 1.0)), False),
        (Trial(0, {"x": 1}), Trial(0, {"x": 2}), False),
        (Trial(0, {}, COMPLETE, (3.0,)), Trial(0, {}, PAUSED, (3.0,)), False),
        (Trial(0, {}, COMPLETE, (3.0,)), Trial(0, {}, COMPLETE, (3.0,), (3.0, 1.0)), True),
        (Trial(0, {}, DIVERGED, (3.0,)), Trial(0, {}, PAUSED, (3.0, 9.0)), False),
    ],
)
def test_a_trial_only_trains_further(before, after, is_progress):
    assert Change(before, after).is_progress == is_progress


def test_unfinished_trials_are_those_that_may_train_further():
    trials = [Trial(n, {}, state) for n, state in enumerate(TrialState)]
    assert [trial.state for trial in Trials.of(trials).unfinished] == [RUNNING, PAUSED]
    known = Trials(trials, trials[:1])
    assert Trials.of(known).unfinished == trials[:1]


def test_metrics_are_finite_if_every_one_is():
    assert is_finite({"loss": 0.0, "accuracy": 1.0})
    assert not is_finite({"loss": float("nan"), "accuracy": 1.0})
    assert not is_finite({"loss": 0.0, "accuracy": float("inf")})


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_run_is_read_back_from_its_key(trial, seed):
    assert Run.parse(Run(trial, seed).key) == Run(trial, seed)


@pytest.mark.parametrize(
    ("run", "key"), [(Run(12), "12"), (Run(12, 3), "12.3"), (Run(0), "0"), (Run(0, 1), "0.1")]
)
def test_the_first_run_of_a_trial_has_the_trials_number_as_its_key(run, key):
    assert run.key == key
