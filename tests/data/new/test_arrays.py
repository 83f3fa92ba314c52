"""New examples that are arrays."""

import re

import numpy as np
import pytest

from hpo.data.new.arrays import new_arrays
from hpo.data.transforms.features import Features
from hpo.errors import DataError

IMAGES = Features(shape=(2, 2, 1), type="uint8")
NUMBERS = Features(shape=(3,), type="float64")


def read(path, features=NUMBERS):
    return new_arrays(path, features, is_resized=False)


def test_an_npz_file_gives_x_and_a_table_of_the_rest(tmp_path):
    np.savez(tmp_path / "new.npz", x=np.eye(3, dtype=np.float32), y=[1, 0, 1], other=[7])
    source, table = read(tmp_path / "new.npz")
    assert source.x.dtype == np.float64
    assert table.frame.to_dict("list") == {"y": [1, 0, 1]}


@pytest.mark.parametrize(
    ("arrays", "features", "told"),
    [
        ({"z": np.eye(3)}, NUMBERS, "has no array x: save the new examples by this name."),
        ({"x": np.eye(2)}, NUMBERS, "an example has the shape [2], and those of the training [3]"),
        ({"x": np.zeros((0, 3))}, NUMBERS, "has no row"),
        ({"x": np.full((1, 3), np.nan)}, NUMBERS, "x is not finite in row 0"),
        ({"x": np.array([["a"] * 3])}, NUMBERS, "x is of type <U1: save numbers."),
        ({"x": np.zeros((1, 2, 2, 1))}, IMAGES, "x is of type float64: save uint8, as images are."),
        ({"x": np.eye(3), "y": [1]}, NUMBERS, "y has the shape [1], and x has 3 rows"),
        (
            {"x": np.zeros((1, 2, 2, 1), np.uint8), "y": np.zeros((1, 3, 2))},
            IMAGES,
            "masks y have the shape [1, 3, 2], and images x [1, 2, 2, 1]: save y as [1, 2, 2], a "
            "class for each pixel.",
        ),
        ({"x": np.array([print], object)}, NUMBERS, "x holds Python objects, which may run code"),
    ],
)
def test_other_arrays_are_refused(tmp_path, arrays, features, told):
    np.savez(tmp_path / "new.npz", **arrays)
    with pytest.raises(DataError, match=re.escape(told)):
        read(tmp_path / "new.npz", features)


def test_an_image_of_another_size_is_refused_unless_the_training_resized_them(tmp_path):
    from PIL import Image

    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "one.png")
    with pytest.raises(
        DataError, match=r"one\.png: is 4x4, and the model was trained on images of"
    ):
        read(tmp_path, IMAGES)
    source, table = new_arrays(tmp_path, IMAGES, is_resized=True)
    assert source.x.shape == (1, 2, 2, 1)
    assert table.frame["file"].tolist() == ["one.png"]


def test_other_paths_are_refused(tmp_path):
    (tmp_path / "new.txt").touch()
    for path, told in (("none.npz", "no such file"), ("new.txt", "no arrays"), ("", "no image")):
        with pytest.raises(DataError, match=told):
            read(tmp_path / path, IMAGES)
