"""Values of a distribution by index and by position."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.search.levels import (
    assemble,
    is_stepped,
    level,
    level_count,
    level_of,
    moved,
    position_of,
    varying,
)
from hpo.space import Choice, Condition, Dimension, Float, Int, SearchSpace

LEVELS = [
    (Int(10, 31, step=5), [10, 15, 20, 25, 30]),
    (Int(1, 3, log=True), [1, 2, 3]),
    (Float(0.1, 0.5, step=0.1), [0.1, 0.2, 0.3, 0.4, 0.5]),
    (Float(2.0, 2.0), [2.0]),
    (Choice((True, 1, None, [64])), [True, 1, None, [64]]),
]
RANGES = [
    Float(-3.0, 7.0),
    Float(1e-6, 1e3, log=True),
    Int(1, 10**6, log=True),
    Int(-4, 40, step=4),
    Float(0.0, 1.0, step=0.25),
    Choice(("a", "b", "c")),
]


@pytest.mark.parametrize(("distribution", "values"), LEVELS)
def test_an_index_stands_for_each_value_of_a_finite_distribution(distribution, values):
    assert level_count(distribution) == len(values)
    found = [level(distribution, index) for index in range(len(values))]
    assert [(type(v), v) for v in found] == [(type(v), v) for v in values]
    assert [level_of(distribution, value) for value in values] == list(range(len(values)))


def test_a_continuous_range_has_no_levels():
    assert level_count(Float(0.0, 1.0)) is None
    assert [is_stepped(d) for d in RANGES] == [False, False, False, True, True, False]


@pytest.mark.parametrize(
    ("distribution", "value", "index"),
    [(Int(10, 30, step=5), 18, 2), (Float(0.0, 1.0, step=0.25), 0.6, 2), (Int(0, 9), 20, 20)],
)
def test_a_value_between_levels_has_the_nearest_index(distribution, value, index):
    assert level_of(distribution, value) == index


@pytest.mark.parametrize(
    ("distribution", "value", "message"),
    [
        (Choice(("a", "b")), "c", "'c' is not among the choices"),
        (Choice((1, 2)), True, "True is not among the choices"),
        (Int(0, 1), True, "True is not a number"),
        (Float(0.0, 1.0), "0.5", "'0.5' is not a number"),
    ],
)
def test_a_value_that_has_no_place_is_refused(distribution, value, message):
    for place in (level_of, position_of):
        with pytest.raises(ValueError, match=message):
            place(distribution, value)


@pytest.mark.parametrize("distribution", RANGES, ids=str)
@given(st.floats(0, 1, exclude_max=True))
def test_the_position_of_a_value_gives_that_value_back(distribution, position):
    value = distribution.at(position)
    again = distribution.at(position_of(distribution, value))
    assert again == (pytest.approx(value) if isinstance(value, float) else value)


def test_values_beyond_a_range_lie_at_its_ends():
    assert position_of(Float(0.0, 1.0), -2.0) == 0.0
    assert position_of(Float(0.0, 1.0), 5.0) == math.nextafter(1.0, 0.0)
    assert Int(0, 9).at(position_of(Int(0, 9), 99)) == 9


SPACE = SearchSpace(
    (
        Dimension("name", Choice(("mlp", "cnn"))),
        Dimension("kernel", Int(1, 5), Condition("name", ("cnn",))),
        Dimension("norm", Choice(("layer",))),
        Dimension("rate", Float(0.5, 0.5)),
    )
)


def test_only_dimensions_of_several_values_are_searched():
    assert [path for path, _ in varying(SPACE)] == ["name", "kernel"]


@pytest.mark.parametrize(
    ("values", "hparams"),
    [
        (
            {"kernel": 3, "name": "mlp"},
            {"name": "mlp", "norm": "layer", "rate": 0.5},
        ),
        (
            {"kernel": 3, "name": "cnn", "norm": "batch"},
            {"name": "cnn", "kernel": 3, "norm": "layer", "rate": 0.5},
        ),
    ],
)
def test_hparams_have_the_active_dimensions_in_order_and_constants_filled_in(values, hparams):
    found = assemble(SPACE, values)
    assert found == hparams
    assert list(found) == list(hparams)


@pytest.mark.parametrize("distribution", RANGES[:5], ids=str)
def test_a_moved_value_stays_in_its_range_and_near_by(distribution):
    middle = distribution.at(0.5)
    steps = [
        abs(position_of(distribution, moved(distribution, middle, 0.01, rng)) - 0.5)
        for rng in map(np.random.default_rng, range(200))
    ]
    count = level_count(distribution)
    width = max(0.01, 1 / count if count and not distribution.log else 0)
    # Normal steps: half of them within 0.67 deviations, none of 200 beyond five.
    assert 0 < np.median(steps) < 1.5 * width
    assert max(steps) < 5 * width + (1 / count if count else 0)
