"""Named arrays as examples; test_python.py and test_npz.py beside this read whole data sets."""

import numpy as np
import pytest

from hpo.data.readers.arrays import Origin, to_source
from hpo.errors import DataError

X = np.zeros((2, 3))


def test_a_message_names_the_key_and_what_the_user_does_there():
    with pytest.raises(
        DataError, match=r"^data\.dataset\.npz: t\.npz: y has the one class 1: save"
    ):
        to_source({"x": X, "y": np.array([1, 1])}, Origin("npz", "t.npz", "auto", "save"))


def test_classes_are_those_of_all_splits():
    parts = {"train": {"x": X, "y": ["b", "a"]}, "test": {"x": X, "y": ["a", "c"]}}
    source = to_source(parts, Origin("python", "d.py:load", "auto", "return"))
    assert source.classes == ("a", "b", "c")
    np.testing.assert_array_equal(source.test.y, [0, 2])
