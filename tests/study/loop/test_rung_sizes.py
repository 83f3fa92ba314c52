"""Sizes of images from rung to rung."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.errors import HpoError
from hpo.study.loop.rung_sizes import RungSizes


@pytest.mark.parametrize(
    ("longer", "epochs", "sizes"),
    [
        (8, 4, {1: 4, 2: 6, 4: None}),  # 5.66
        (28, 27, {1: 5, 3: 9, 9: 16, 27: None}),  # 5.39, 9.33, 16.17
        (224, 16, {1: 56, 4: 112, 16: None}),
    ],
)
def test_a_rung_has_its_share_of_the_pixels(
    longer: int, epochs: int, sizes: dict[int, int | None]
) -> None:
    found = RungSizes(longer, epochs)
    assert {budget: found.at(budget) for budget in sizes} == sizes
    assert found.at(0) is None  # of a trial, not of a rung
    smaller = [size for size in sizes.values() if size is not None]
    assert found.of_all(sizes) == tuple(smaller)


@given(st.integers(2, 8192), st.integers(2, 10_000), st.data())
def test_sizes_are_rounded_to_the_nearest(longer: int, epochs: int, data: st.DataObject) -> None:
    budget = data.draw(st.integers(1, epochs - 1))
    size = RungSizes(longer, epochs).at(budget)
    assert size is not None
    assert abs(size - longer * math.sqrt(budget / epochs)) <= 0.5 + 1e-6


@pytest.mark.parametrize(
    ("budgets", "message"),
    [
        (
            (10, 12, 100),
            "a rung of 10 of 100 epochs has images of 3 pixels a side, as one of 12 has",
        ),
        ((1, 100), "a rung of 1 of 100 epochs has images of 1 pixel a side: raise eta or"),
        ((99, 100), "a rung of 99 of 100 epochs has images of 8 pixels a side, as one of 100 has"),
    ],
)
def test_rungs_of_equal_or_tiny_images_are_refused(budgets: tuple[int, ...], message: str) -> None:
    with pytest.raises(HpoError, match=message):
        RungSizes(8, 100).of_all(budgets)
