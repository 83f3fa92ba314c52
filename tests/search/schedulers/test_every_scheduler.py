"""What holds of every scheduler."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.registry import SCHEDULERS
from hpo.search.schedulers.make import make_scheduler, outline
from hpo.spec.schema import variants_of
from hpo.spec.sections.scheduler import (
    OptunaPruner,
)
from hpo.trial import Job, Trial
from tests.effort import effort
from tests.search.schedulers.studies import (
    ASHA,
    COMPLETE,
    DIVERGED,
    HALVING,
    HYPERBAND,
    PATIENCE,
    PAUSED,
    PRUNED,
    PRUNERS,
    RUNNING,
    SPECS,
    STUDIED,
    simulate,
    trials,
)

SYNCHRONOUS = ["auto", "none", "successive_halving", "hyperband", "bohb", "pbt"]


def outcome(found):
    return [(trial.number, trial.state, trial.losses) for trial in found]


def test_every_scheduler_and_every_pruner_is_tested_here():
    assert {spec.name for spec in SPECS.values()} == SCHEDULERS.keys()
    assert {*PRUNERS} == {*variants_of(OptunaPruner, "pruner").specs}


studies = {
    "epochs": st.integers(1, 30),
    "total": st.integers(1, 50),
    "seed": st.integers(0, 10**6),
}


@pytest.mark.parametrize("name", STUDIED)
@settings(max_examples=20, deadline=None)
@given(**studies)
def test_every_study_ends_with_all_trials_ended_and_a_winner(name, epochs, total, seed):
    found = simulate(SPECS[name], epochs, total, seed)
    assert len(found) == total
    assert all(trial.state in (COMPLETE, PRUNED) for trial in found)
    assert any(trial.state is COMPLETE for trial in found)
    announced = outline(SPECS[name], epochs, total)
    trained = sum(trial.epochs for trial in found)
    assert trained <= announced.epochs if announced.is_upper_bound else trained == announced.epochs


@pytest.mark.parametrize("name", STUDIED)
@settings(max_examples=25, deadline=None)
@given(diverging=st.sets(st.integers(0, 49)), **studies)
def test_every_study_ends_where_trials_diverge(name, epochs, total, seed, diverging):
    found = simulate(SPECS[name], epochs, total, seed, diverging)
    assert len(found) == total
    assert all(trial.state.is_finished for trial in found)


@pytest.mark.parametrize("name", ["successive_halving", "asha", "hyperband"])
@settings(max_examples=40, deadline=None)
@given(diverging=st.sets(st.integers(0, 49)), **studies)
def test_halving_ends_with_a_winner_unless_all_trials_diverge(name, epochs, total, seed, diverging):
    found = simulate(SPECS[name], epochs, total, seed, diverging)
    assert any(t.state is COMPLETE for t in found) or all(t.state is DIVERGED for t in found)


@pytest.mark.parametrize("name", SYNCHRONOUS)
@settings(max_examples=25, deadline=None)
@given(diverging=st.sets(st.integers(0, 49)), other=st.integers(0, 10**6), **studies)
def test_synchronous_schedulers_decide_the_same_whichever_results_arrive_first(
    name, epochs, total, seed, diverging, other
):
    one = simulate(SPECS[name], epochs, total, seed, diverging)
    assert outcome(one) == outcome(simulate(SPECS[name], epochs, total, other, diverging))


@pytest.mark.parametrize("name", STUDIED)
@settings(max_examples=15, deadline=None)
@given(diverging=st.sets(st.integers(0, 49)), **studies)
def test_a_scheduler_that_has_seen_other_trials_answers_like_a_new_one(
    name, epochs, total, seed, diverging
):
    seen = make_scheduler(SPECS[name], epochs, total)
    for other in (seed + 1, seed):
        found = simulate(SPECS[name], epochs, total, other, diverging)
        unended = [replace(t, state=PAUSED) if t.state is PRUNED else t for t in found]
        for now in (found, unended[: total // 2 + 1], unended):
            new = make_scheduler(SPECS[name], epochs, total)
            assert seen.runnable(now, 3) == new.runnable(now, 3)
            assert seen.eliminated(now) == new.eliminated(now)


@pytest.mark.parametrize("name", STUDIED)
@pytest.mark.parametrize("total", [1, 9, 22])
def test_a_metric_that_never_changes_trains_the_announced_epochs(name, total, monkeypatch):
    def flat(trial, epochs, diverges):
        losses = (*trial.losses, 1.0)
        return replace(trial, losses=losses, state=COMPLETE if len(losses) == epochs else RUNNING)

    monkeypatch.setattr("tests.search.schedulers.studies.train_one_epoch", flat)
    found = simulate(SPECS[name], 9, total, seed=0)
    assert len(found) == total
    assert all(trial.state in (COMPLETE, PRUNED) for trial in found)
    assert any(trial.state is COMPLETE for trial in found)
    announced = outline(SPECS[name], 9, total)
    trained = sum(trial.epochs for trial in found)
    assert trained <= announced.epochs if announced.is_upper_bound else trained == announced.epochs
    if name == "successive_halving" and total == 9:
        # The first of equals go on: a third, and a third of these.
        assert [trial.epochs for trial in found] == [9, 3, 3, *[1] * 6]


@pytest.mark.parametrize("name", [name for name in STUDIED if name != "optuna hyperband"])
def test_the_time_of_an_answer_grows_linearly_with_the_trials(name):
    def cost(total):
        scheduler = make_scheduler(SPECS[name], 27, total)
        rng = random.Random(0)
        budgets = (1, 3, 9, 27)
        # Rules that only stop trials let none wait but those that a lane was taken from.
        waits = PRUNED if name.startswith("optuna") else PAUSED
        found = [
            Trial(
                n,
                {},
                COMPLETE if epochs == 27 else waits,
                tuple(rng.random() for _ in range(epochs)),
            )
            for n in range(total * 9 // 10)
            for epochs in [budgets[n % 27 % 4]]
        ]
        found += [Trial(len(found) + n, {}, RUNNING, (0.5, 0.5, 0.5)) for n in range(16)]
        scheduler.runnable(found, 64), scheduler.eliminated(found)
        found[-1] = replace(found[-1], losses=(0.5, 0.5, 0.5, 0.5))
        return effort(lambda: scheduler.runnable(found, 64))

    # Ten times as many trials; quadratic work would be a hundred times as much.
    assert cost(5_000) < 20 * cost(500)


def test_starts_are_at_most_the_window():
    assert make_scheduler(HYPERBAND, 27, 100).runnable([], 2) == (Job(0, 1), Job(1, 1))
    assert make_scheduler(ASHA, 27, 100).runnable([], 0) == ()


@pytest.mark.parametrize("spec", [HALVING, ASHA, PATIENCE], ids=lambda spec: spec.name)
def test_a_trial_that_breaks_a_constraint_is_no_winner(spec):
    # How long a model takes to answer is known at the end alone.
    waiting = [2.0] * 3 if spec is PATIENCE else [2.0]
    rows = [[COMPLETE, *[1] * 9], [PAUSED, *waiting], [PAUSED, *(w + 1 for w in waiting)]]
    found = trials(*rows, *rows[:1] * (spec is PATIENCE))
    scheduler = make_scheduler(spec, 9, len(found))
    assert scheduler.eliminated(found) == {1, 2}
    found = [replace(t, violation=0.5) if t.state is COMPLETE else t for t in found]
    assert scheduler.eliminated(found) == frozenset()
    assert scheduler.runnable(found, 0)[0].trial == 1
