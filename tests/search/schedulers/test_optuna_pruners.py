"""Optuna's pruners as schedulers."""

import zlib

import pytest

from hpo.search.schedulers.make import make_scheduler
from hpo.spec.sections import pruner as pruners
from hpo.spec.sections.scheduler import (
    OptunaPruner,
)
from tests.search.schedulers.studies import (
    COMPLETE,
    OPTUNA,
    PRUNED,
    RUNNING,
    SPECS,
    simulate,
    trials,
)


@pytest.mark.parametrize("name", OPTUNA)
def test_a_study_of_every_pruner_ends_with_a_winner(name):
    found = simulate(SPECS[name], 9, 8, 0, diverging={3})
    assert len(found) == 8
    assert all(trial.state.is_finished for trial in found)
    assert any(trial.state is COMPLETE for trial in found)


@pytest.mark.parametrize("later", [[], [[COMPLETE, 9, 9]]], ids=["gone", "another"])
def test_a_pruner_answers_again_where_the_completed_trials_differ(later):
    median = pruners.MedianPruner(name="median", n_startup_trials=1)
    scheduler = make_scheduler(OptunaPruner(name="optuna", pruner=median), 2, 3)
    waiting = [RUNNING, 3]
    assert scheduler.eliminated(trials(waiting, [COMPLETE, 1, 1])) == {0}
    assert scheduler.eliminated(trials(waiting, *later)) == frozenset()


def stopped(spec, *rows, epochs=9):
    scheduler = make_scheduler(OptunaPruner(name="optuna", pruner=spec), epochs, len(rows))
    return scheduler.eliminated(trials(*rows))


def test_the_threshold_pruner_stops_trials_outside_its_bounds():
    spec = pruners.ThresholdPruner(name="threshold", lower=0.0, upper=1.0, n_warmup_steps=2)
    assert stopped(spec, [RUNNING, 0, 2], [RUNNING, 2], [RUNNING, 2, 1], [RUNNING, 0, -1]) == {0, 3}


def test_the_percentile_pruner_compares_with_the_completed_trials_at_the_same_epoch():
    spec = pruners.PercentilePruner(name="percentile", percentile=25, n_startup_trials=2)
    completed = [[COMPLETE, n, *[0] * 8] for n in (1, 2, 3, 4, 5)]
    assert stopped(spec, *completed, [RUNNING, 1.9], [RUNNING, 2.1]) == {6}


def test_the_halving_pruner_keeps_the_best_of_those_that_reached_the_rung_so_far():
    spec = pruners.SuccessiveHalvingPruner(name="successive_halving", reduction_factor=2)
    # Rungs at 1, 2, 4 and 8: of four losses at epoch 1 the best two stay; 3 and 4 are no rungs.
    rows = ([RUNNING, 1], [RUNNING, 2], [RUNNING, 3], [RUNNING, 4])
    assert stopped(spec, *rows) == {2, 3}
    assert stopped(spec, *rows[:3], [RUNNING, 4, 9, 9]) == {2}
    assert stopped(spec, [RUNNING, 1, 5], [PRUNED, 2, 3], [PRUNED, 3]) == {0}


def test_the_hyperband_pruner_compares_within_a_bracket_that_follows_from_the_number():
    spec = pruners.HyperbandPruner(name="hyperband")
    # Brackets of 9, 5 and 3 shares; in the first one there is a rung at epoch 1.
    lowest = [n for n in range(60) if zlib.crc32(f"hpo_{n}".encode()) % (9 + 5 + 3) < 9]
    found = stopped(spec, *([RUNNING, n] for n in range(60)), epochs=9)
    assert found == {*lowest[len(lowest) // 3 :]}


def test_the_patient_pruner_asks_another_only_where_there_is_no_progress():
    wrapped = pruners.ThresholdPruner(name="threshold", upper=1.0)
    spec = pruners.PatientPruner(name="patient", patience=1, wrapped_pruner=wrapped)
    rows = ([RUNNING, 5, 4, 3], [RUNNING, 4, 5, 5], [RUNNING, 0, 1, 1])
    assert stopped(spec, *rows) == {1}
    alone = pruners.PatientPruner(name="patient", patience=1)
    assert stopped(alone, *rows) == {1, 2}
