"""The size of a first search fits the data and the machine."""

from dataclasses import replace

import pytest

from hpo.data.overview.overview import Overview, Target
from hpo.report.init.budget import budget_for

TARGET = Target(("y",), "regression", "", "")


def seen(rows: int, features: int) -> Overview:
    return Overview("t", {}, rows, rows, True, TARGET, features=features)


def test_presets_differ_in_trials_and_epochs():
    quick, good, best = (budget_for(seen(500, 10), p, None, 2) for p in ("quick", "good", "best"))
    assert quick.trials < good.trials < best.trials
    assert quick.epochs < good.epochs < best.epochs


def test_a_large_table_gets_larger_batches_and_networks_and_fewer_epochs():
    small, large = (
        budget_for(seen(500, 10), "good", None, 2),
        budget_for(seen(5_000_000, 100), "good", None, 2),
    )
    assert small.batch_size < large.batch_size
    assert max(small.widths[-1]) < max(large.widths[-1])
    assert small.epochs > large.epochs


@pytest.mark.parametrize("timeout", [60.0, 600.0, 7200.0])
def test_a_search_takes_about_the_time_that_is_given(timeout):
    found = budget_for(seen(200_000, 50), "good", timeout, 4)
    assert found.timeout == timeout
    assert found.seconds <= 1.1 * timeout or found.trials == 8


def test_more_cores_take_less_time():
    one, many = (budget_for(seen(20_000, 50), "good", None, cores) for cores in (1, 8))
    assert many.seconds < one.seconds


def test_few_rows_are_validated_in_folds_unless_a_class_is_rare():
    few, many = (
        budget_for(seen(500, 10), "good", None, 2),
        budget_for(seen(5000, 9), "good", None, 2),
    )
    rare = Target(("y",), "classification", "", "", {"a": 490, "b": 10})
    assert (few.folds, many.folds) == (5, None)
    assert budget_for(replace(seen(500, 10), target=rare), "good", None, 2).folds is None
    assert budget_for(replace(seen(500, 10), can_fold=False), "good", None, 2).folds is None


@pytest.mark.parametrize(
    ("rows", "split", "largest"), [(12, {}, 4), (40, {}, 16), (200, {"time": "day"}, 16)]
)
def test_a_batch_is_smaller_than_the_rows_that_train(rows, split, largest):
    few = replace(seen(rows, 4), options={"split": split} if split else {})
    assert 1 <= budget_for(few, "good", None, 2).batch_size <= largest


def test_rows_that_a_column_splits_need_no_folds():
    split = replace(seen(500, 4), options={"split": {"column": "part"}})
    assert budget_for(split, "good", None, 2).folds is None


def test_of_very_many_rows_a_part_is_trained_on():
    large = budget_for(seen(100_000_000, 50), "quick", None, 2)
    assert 20_000 <= large.rows < 50_000_000
    assert large.seconds < 120
    assert budget_for(seen(50_000, 50), "good", None, 2).rows is None
