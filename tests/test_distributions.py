"""Distributions: their values, positions and parts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.distributions import Choice, Float, Int, identity, parts_of, same_value

positions = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (Int(1, 4), [1, 2, 3, 4]),
        (Int(10, 31, step=5), [10, 15, 20, 25, 30]),
        (Int(1, 3, log=True), [1, 2, 3]),
        (Float(0.1, 0.5, step=0.1), [0.1, 0.2, 0.3, 0.4, 0.5]),
        (Float(0.0, 1.0, step=0.3), [0.0, 0.3, 0.6, 0.9]),
        (Float(-0.3, 0.1, step=0.1), [-0.3, -0.2, -0.1, 0.0, 0.1]),
        (Float(2.0, 2.0), [2.0]),
        (Choice(("a", [1], None)), ["a", [1], None]),
    ],
)
def test_positions_reach_every_value_of_a_finite_distribution_and_no_other(distribution, values):
    found = [distribution.at(position) for position in np.linspace(0, 1, 999, endpoint=False)]
    assert distribution.size == len(values)
    assert [value for n, value in enumerate(found) if n == 0 or value != found[n - 1]] == values


@given(positions)
@pytest.mark.parametrize(
    "distribution",
    [Float(1e-12, 1e12, log=True), Float(-3.0, 7.0), Int(-5, 5), Int(1, 10**9, log=True)],
)
def test_values_lie_between_low_and_high(distribution, position):
    assert distribution.low <= distribution.at(position) <= distribution.high


def test_a_log_range_gives_each_decade_its_share():
    found = [Float(1e-4, 1.0, log=True).at(position) for position in (0, 0.25, 0.5, 0.75)]
    assert found == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])


def test_whole_numbers_on_a_log_range_share_it_by_their_width():
    # From 0.5 to 2.5 on a log scale: 1 has log(3), 2 has log(5 / 3), together log(5).
    share = np.log(3) / np.log(5)
    assert Int(1, 2, log=True).at(share - 1e-9) == 1
    assert Int(1, 2, log=True).at(share + 1e-9) == 2


@pytest.mark.parametrize(
    ("distribution", "landmarks", "parts"),
    [
        (Float(0.0, 1.0), [0.5, 2.0], [[0.5, 0.5], [0.0, 0.5], [0.5, 1.0]]),
        (Float(1e-4, 1.0, log=True), [1e-2], [[1e-2, 1e-2], [1e-4, 1e-2], [1e-2, 1.0]]),
        (Float(0.0, 1.0, step=0.25), [0.3, 0.6], [[0.0, 0.25], [0.5, 0.5], [0.75, 1.0]]),
        (Int(0, 99), [4.0, 6.5], [[4, 4], [0, 4], [4, 6], [7, 99]]),
        (Int(0, 9), [], [[0, 9]]),
        (Choice((1, 2)), [1], [[1, 2]]),
    ],
)
def test_a_range_is_cut_at_the_numbers_that_rules_name(distribution, landmarks, parts):
    ends = [[part.at(0.0), part.at(1 - 1e-12)] for part in parts_of(distribution, landmarks)]
    assert [pytest.approx(end, rel=1e-9) for end in parts] == ends


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [(True, 1, False), (1, 1.0, True), (False, 0, False), ("1", 1, False), ([1], [1], True),
     (None, None, True), (None, False, False)],
)  # fmt: skip
def test_true_is_not_one(one, other, is_same):
    assert same_value(one, other) == is_same
    assert (identity(one) == identity(other)) == is_same


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, 0.5, "", "1"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner),
)


@given(VALUES, VALUES)
def test_two_values_have_one_identity_where_they_are_the_same(one, other):
    assert (identity(one) == identity(other)) == same_value(one, other)
