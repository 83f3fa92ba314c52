"""Which axes of a shape hold the same numbers once it is changed."""

from __future__ import annotations

import pytest
from jax import export

from hpo.trained.exported.slimming.shapes import axis_groups, is_open
from hpo.trained.exported.translation import BATCH

Groups = list[tuple[list[int], list[int]]]


@pytest.mark.parametrize(
    ("before", "after", "groups"),
    [
        ((4, 6), (4, 6), [([0], [0]), ([1], [1])]),
        ((4, 6), (4, 2, 3), [([0], [0]), ([1], [1, 2])]),
        ((5, 2, 2, 3), (5, 12), [([0], [0]), ([1, 2, 3], [1])]),
        ((4, 1, 3), (4, 3), [([0], [0]), ([1, 2], [1])]),
        ((3,), (1, 3, 1), [([0], [0, 1]), ([], [2])]),
        ((4, 6), (8, 3), [([0, 1], [0, 1])]),
        ((BATCH, 2, 3), (2 * BATCH, 3), [([0, 1, 2], [0, 1])]),
    ],
)
def test_axes_are_grouped_by_the_numbers_that_they_hold(
    before: tuple[int, ...], after: tuple[int, ...], groups: Groups
) -> None:
    assert axis_groups(before, after) == groups


def test_an_axis_of_rows_is_open_and_may_stand_for_any_number() -> None:
    (rows,) = export.symbolic_shape("rows")
    assert is_open(rows)
    assert is_open(2 * BATCH)
    assert not is_open(64)
    assert axis_groups((rows, 6), (rows, 2, 3)) == [([0], [0]), ([1], [1, 2])]
    assert axis_groups((rows, 2, 3), (2 * rows, 3)) == [([0, 1, 2], [0, 1])]
