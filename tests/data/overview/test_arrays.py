"""A look at arrays that a reader has read whole."""

import numpy as np
import pytest

from hpo.data.overview.arrays import look_at_npz
from hpo.errors import DataError

RNG = np.random.default_rng(0)


def test_arrays_of_numbers_are_a_table(tmp_path):
    np.savez(tmp_path / "t.npz", x=RNG.normal(size=(30, 3)), y=np.arange(30) % 3)
    seen = look_at_npz(tmp_path / "t.npz", "t.npz")
    assert seen.dataset == {"npz": "t.npz"}
    assert len(seen.columns) == 3
    assert seen.target.classes == {"0": 10, "1": 10, "2": 10}


def test_arrays_of_pixels_are_images(tmp_path):
    x = RNG.integers(0, 255, (30, 6, 5, 3), np.uint8)
    np.savez(tmp_path / "t.npz", x=x, y=np.arange(30) % 2)
    assert look_at_npz(tmp_path / "t.npz", "t.npz").shape == (6, 5, 3)


def test_several_targets_are_left_to_the_user(tmp_path):
    np.savez(tmp_path / "t.npz", x=RNG.normal(size=(30, 3)), y=RNG.normal(size=(30, 2)))
    with pytest.raises(DataError, match="several targets for each row"):
        look_at_npz(tmp_path / "t.npz", "t.npz")


def test_another_file_is_left_to_other_readers(tmp_path):
    assert look_at_npz(tmp_path / "t.csv", "t.csv") is None
