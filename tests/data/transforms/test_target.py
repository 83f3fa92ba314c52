"""Scaling of targets that are quantities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.data.source import Source
from hpo.data.transforms.target import in_target_range
from hpo.data.transforms.transform import FittedTransform, fit_transform
from hpo.errors import DataError
from hpo.spec.sections.columns import Columns


def source(y: Any, **more: Any) -> Source:
    y = np.array(y)
    return Source(
        x=np.arange(len(y), dtype=np.float64)[:, None], y=y, target="t.csv: price", **more
    )


def fit(train: Source, target_range: tuple[float, float] | None) -> FittedTransform:
    return fit_transform(train, "none", columns=Columns(), target_range=target_range)


def test_without_a_range_targets_have_the_mean_0_and_the_deviation_1() -> None:
    y = [[3.0, 1.0], [5.0, 9.0], [9.0, 1.0]]
    found = fit(source(y), None).apply_target(source(y))
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-7)
    np.testing.assert_allclose(found.std(0), 1, rtol=1e-6)


@pytest.mark.parametrize("y", [[10.0, 20.0, 50.0], [[10.0, 50.0], [20.0, 30.0], [15.0, 25.0]]])
def test_the_ends_of_a_range_become_0_and_1(y: Any) -> None:
    fitted = fit(source(y), (10.0, 50.0))
    np.testing.assert_allclose(fitted.apply_target(source(y)), (np.array(y) - 10) / 40, rtol=1e-6)
    again = FittedTransform.from_arrays(fitted.to_arrays())
    assert fit(source(y), None).target_range is None
    assert again.target_range == fitted.target_range == (10.0, 50.0)


@pytest.mark.parametrize("y", [[1.0, 5.5], [-0.5, 2.0], [[1.0, 2.0], [7.0, 2.0]]])
def test_a_target_outside_the_range_is_named(y: Any) -> None:
    fitted = fit(source([1.0, 2.0]), (0.0, 5.0))
    value = next(one for one in np.ravel(y) if not 0 <= one <= 5)
    with pytest.raises(DataError) as raised:
        fitted.apply_target(source(y))
    assert str(raised.value) == (
        f"t.csv: price: {value:g} is not between 0 and 5: widen data.target_range, or remove the "
        "row."
    )


@pytest.mark.parametrize("more", [{"classes": ("a", "b")}, {"is_count": True}])
def test_only_quantities_have_a_range(more: Any) -> None:
    with pytest.raises(DataError, match=r"^data\.target_range: t\.csv: price holds no quantities"):
        fit(source(np.array([0, 1]), **more), (0.0, 1.0))


ends = st.floats(-1e6, 1e6).filter(lambda end: end == 0 or abs(end) > 1e-3)


@given(st.tuples(ends, ends).filter(lambda pair: pair[0] < pair[1]), st.floats(0, 1, width=32))
def test_no_value_between_0_and_1_leaves_the_range(target_range: Any, value: float) -> None:
    low, high = target_range
    found = in_target_range(np.array([0.0, value, 1.0]), target_range)
    assert found[0] == low
    assert low <= found[1] <= high
    assert found[1] == pytest.approx(low + value * (high - low), abs=1e-9 * max(1, high - low))
    assert found[2] == pytest.approx(high)
    (mean,) = in_target_range(np.array([1.0000001]), target_range)  # of ones in float32
    assert mean <= high


def test_values_beyond_stay_beyond() -> None:
    np.testing.assert_allclose(in_target_range(np.array([-0.5, 1.5]), (0.0, 10.0)), [-5, 15])
