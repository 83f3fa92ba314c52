"""What fits a transform column by column equals NumPy for the whole table, bit for bit."""

import numpy as np
import pytest

from hpo.data import mapped
from hpo.data.transforms.by_column import (
    by_rows,
    have_values,
    kept_columns,
    mean_and_std,
    pieces_of,
    values_of,
)


@pytest.fixture(autouse=True)
def _in_pieces(monkeypatch):
    monkeypatch.setattr(mapped, "LARGE_BYTES", 1)
    monkeypatch.setattr(mapped, "_ROW_BYTES_AT_ONCE", 1 << 12)


@pytest.fixture(params=["C", "F"])
def table(request):
    """Numbers of very different sizes with gaps, in either order of memory."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1003, 3)) * [1e-6, 1, 1e9] + [5, 0, -1e9]
    x[rng.random(x.shape) < 0.1] = np.nan
    return np.asarray(x, order=request.param)


def test_mean_and_deviation_have_the_bits_of_numpy(table):
    x = np.nan_to_num(table, nan=3.25, copy=True)
    mean, std = mean_and_std(x)
    np.testing.assert_array_equal(mean, x.mean(axis=0))
    np.testing.assert_array_equal(std, x.std(axis=0))


def test_columns_and_their_numbers_are_those_of_numpy(table):
    assert len([*pieces_of(table)]) == 6
    np.testing.assert_array_equal(values_of(table[:, 1]), table[:, 1][~np.isnan(table[:, 1])])
    kept = np.array([True, False, True])
    found = kept_columns(table, kept)
    np.testing.assert_array_equal(found, table[:, kept])
    assert found.flags.f_contiguous == table[:, kept].flags.f_contiguous
    gone = table.copy()
    gone[:, 1] = np.nan
    np.testing.assert_array_equal(have_values(gone), kept)


def test_a_function_of_rows_keeps_its_order_of_memory(table):
    found = by_rows(len(table), lambda rows: table[rows] + 1, np.copy(table[:8], order="K"))
    np.testing.assert_array_equal(found, table + 1)
    assert found.flags.f_contiguous == table.flags.f_contiguous
