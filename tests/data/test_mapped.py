"""Large arrays in mapped files."""

import os

import numpy as np
import pytest

from hpo.data import mapped


@pytest.fixture
def _all_large(monkeypatch):
    monkeypatch.setattr(mapped, "LARGE_BYTES", 1)
    monkeypatch.setattr(mapped, "_ROW_BYTES_AT_ONCE", 64)


@pytest.mark.usefixtures("_all_large")
def test_a_large_array_is_a_file_of_the_folder_that_has_no_name(tmp_path):
    with mapped.mapped_in(tmp_path):
        array = mapped.empty((3, 2), np.int16)
    assert isinstance(array.base, np.memmap)
    assert (array.shape, array.dtype, [*tmp_path.iterdir()]) == ((3, 2), np.int16, [])
    array[:] = 7
    np.testing.assert_array_equal(array, np.full((3, 2), 7))


def test_a_small_array_is_in_memory(tmp_path):
    with mapped.mapped_in(tmp_path):
        assert mapped.empty(9, np.float32).base is None


@pytest.mark.usefixtures("_all_large")
def test_an_array_is_in_memory_where_the_disk_has_no_room(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with mapped.mapped_in(tmp_path):
        assert mapped.empty(9, np.float32).base is None


@pytest.mark.usefixtures("_all_large")
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_are_taken_piece_by_piece_as_at_once(order):
    array = np.asarray(np.random.default_rng(0).normal(size=(50, 3)), order=order)
    rows = np.array([3, 1, 49, 49, 0] * 9)
    found = mapped.taken(array, rows)
    assert isinstance(found.base, np.memmap)
    np.testing.assert_array_equal(found, array[rows])
    assert np.shares_memory(mapped.taken(array, slice(2, 9)), array)
