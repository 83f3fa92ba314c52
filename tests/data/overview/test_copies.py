"""Columns that hold the target once more, and rows that repeat others."""

import numpy as np
import pandas as pd
import pytest

from hpo.data.overview.copies import copies_of_target, repeated_rows
from hpo.data.overview.kinds import kinds_of
from hpo.data.overview.targets import find_target

RNG = np.random.default_rng(0)
Y = RNG.normal(size=100)


def copies(table, asked="y"):
    frame = pd.DataFrame(table)
    cells = list(kinds_of(frame))
    target = find_target(frame, cells, [asked])
    return {*copies_of_target(frame, [one for one in cells if one.name != asked], target)}


@pytest.mark.parametrize(
    ("column", "is_copy"),
    [
        (3 * Y - 7, True),
        (-Y, True),
        (np.where(np.arange(100) == 5, np.nan, Y), True),
        (Y + 0.1 * RNG.normal(size=100), False),
        (RNG.normal(size=100), False),
        (np.zeros(100), False),
    ],
)
def test_a_quantity_in_another_unit_is_a_copy(column, is_copy):
    assert copies({"a": column, "y": Y}) == ({"a"} if is_copy else set())


@pytest.mark.parametrize(
    ("column", "is_copy"),
    [
        (np.where(Y > 0, "yes", "no"), True),
        (np.where(Y > 0, 7, 3), True),
        (np.where(Y > 0.1, "yes", "no"), False),
        (np.where(Y > 0, np.where(Y > 1, "a", "b"), "c"), False),  # more than there are classes
    ],
)
def test_classes_by_other_names_are_a_copy(column, is_copy):
    assert copies({"a": column, "y": (Y > 0).astype(int)}) == ({"a"} if is_copy else set())


def test_repeated_rows_are_counted_unless_chance_makes_them():
    frame = pd.DataFrame(RNG.normal(size=(100, 3)), columns=[*"abc"])
    frame = pd.concat([frame, frame[:7]])
    few = pd.DataFrame({"a": np.arange(100) % 3, "b": np.arange(100) % 2})
    assert repeated_rows(frame, [*"abc"]) == 7
    assert repeated_rows(few, ["a", "b"]) == 0
