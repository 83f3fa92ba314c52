"""Which column is the target, and what task it is."""

import numpy as np
import pandas as pd
import pytest

from hpo.data.overview.kinds import kinds_of
from hpo.data.overview.targets import find_target
from hpo.errors import DataError


def target_of(table: dict, *asked: str):
    frame = pd.DataFrame(table)
    return find_target(frame, list(kinds_of(frame)), asked)


@pytest.mark.parametrize(
    ("names", "target"),
    [
        (["a", "b", "c"], "c"),
        (["Label", "b", "c"], "Label"),
        (["y", "class", "c"], "class"),
        (["a", "SalePrice", "c"], "SalePrice"),
        (["old_price", "price", "c"], "c"),  # two of such names say nothing
    ],
)
def test_a_usual_name_is_the_target_and_else_the_last_column(names, target):
    columns = [[0, 1, 0, 2], [1.5, 2, 1, 5], [3.5, 2, 1, 7]]
    assert target_of(dict(zip(names, columns, strict=True))).names == (target,)


def test_a_column_of_dates_or_one_value_at_the_end_is_no_target():
    days = ["2024-01-01", "2024-01-02", "2024-01-05"]
    assert target_of({"a": [1, 2, 3], "b": [1.5, 2.5, 1.0], "day": days}).names == ("b",)
    assert target_of({"a": [1, 2, 3], "b": [1.5, 2.5, 1.0], "unit": [1, 1, 1]}).names == ("b",)


def test_classes_that_order_the_rows_come_first_in_a_table_without_names():
    table = {"column_1": [1, 1, 2, 2, 3], "column_2": [0.1, 2.5, 3.5, 1.5, 2.0]}
    assert target_of(table).names == ("column_1",)


@pytest.mark.parametrize(
    ("name", "values", "task"),
    [
        ("y", ["a", "b", "a"], "classification"),
        ("y", [0.5, 1.5, 2.5], "regression"),
        ("y", [0, 1, 0], "classification"),
        ("y", [1, 2, 3, 1, 2, 3], "classification"),
        ("y", np.repeat([3, 4, 5, 6, 7], [2, 20, 60, 30, 4]), "regression"),  # marks
        ("y", np.repeat([0, 1, 2, 3, 4], [2, 60, 20, 30, 4]), "classification"),  # no hill
        ("y", [10, 250, 900, 4000, 70], "regression"),
        ("age", [20, 21, 22, 23, 24], "regression"),
        ("stage", np.repeat([1, 2, 3, 4, 5], [2, 20, 60, 30, 4]), "classification"),
        ("y", np.arange(500) % 50, "classification"),  # fifty classes, ten rows each
        ("y", np.arange(500), "regression"),
        ("count", [0, 1, 2, 0, 1, 5], "counts"),
    ],
)
def test_a_task_is_read_from_the_values_and_the_name(name, values, task):
    assert target_of({"x": np.arange(len(values)), name: values}, name).task == task


def test_several_targets_are_labels_or_quantities():
    table = {"x": [1, 2, 3], "tag_a": [0, 1, 1], "tag_b": [1, 0, 1]}
    found = target_of(table)
    assert (found.names, found.task) == (("tag_a", "tag_b"), "multilabel")
    assert found.classes == {"tag_a": 2, "tag_b": 2}
    assert target_of({"x": [0, 1, 1], "a": [1.5, 2, 3], "b": [1, 0, 1]}, "a", "b").task == (
        "regression"
    )


def test_classes_are_counted_and_the_most_frequent_one_comes_first():
    assert target_of({"x": [1, 2, 3, 4], "y": [2.0, 1.0, 2.0, None]}).classes == {"2": 2, "1": 1}


def test_an_unknown_target_is_refused_with_a_guess():
    with pytest.raises(DataError, match=r"unknown column 'prise'\. Did you mean 'price'\?"):
        target_of({"price": [1, 2], "x": [1, 3]}, "prise")


def test_a_text_that_is_another_one_in_every_row_is_no_target():
    with pytest.raises(DataError, match="has another text in many rows, such as"):
        target_of({"x": range(40), "y": [f"u{n}" for n in range(40)]})
