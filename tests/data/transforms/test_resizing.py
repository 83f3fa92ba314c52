"""Images made smaller: the pixels of Pillow and of JAX."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from PIL import Image

from hpo.data.transforms.resizing import resized, smaller, spread
from hpo.errors import DataError


@pytest.mark.parametrize(
    ("old", "new"), [((8, 8), (4, 4)), ((28, 28), (9, 9)), ((13, 20), (5, 8)), ((7, 3), (7, 1))]
)
def test_whole_pixels_are_those_of_pillow_to_the_last_bit(
    old: tuple[int, int], new: tuple[int, int]
) -> None:
    x = np.random.default_rng(0).integers(0, 256, (5, *old, 3), np.uint8)
    x[0] = 255
    wanted = [
        np.asarray(Image.fromarray(one).resize(new[::-1], Image.Resampling.BILINEAR)) for one in x
    ]
    np.testing.assert_array_equal(resized(x, new), wanted)


@pytest.mark.parametrize(("old", "new"), [((8, 8), (4, 4)), ((28, 28), (9, 9)), ((13, 20), (5, 8))])
def test_other_pixels_are_those_of_jax(old: tuple[int, int], new: tuple[int, int]) -> None:
    x = np.random.default_rng(1).standard_normal((1030, *old, 1)).astype(np.float32)
    wanted = jax.image.resize(x, (1030, *new, 1), "linear", antialias=True)
    found = resized(x, new)
    assert found.dtype == x.dtype
    np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_images_of_that_size_are_left_as_they_are() -> None:
    x = np.zeros((2, 4, 6, 1), np.uint8)
    assert resized(x, (4, 6)) is x


@pytest.mark.parametrize(
    ("shape", "longer", "size"),
    [
        ((28, 28, 1), 14, (14, 14)),
        ((480, 640, 3), 64, (48, 64)),
        ((640, 480, 3), 101, (101, 76)),  # 75.75
        ((100, 1, 3), 10, (10, 1)),  # no side is lost
    ],
)
def test_the_shorter_side_keeps_its_proportion(
    shape: tuple[int, ...], longer: int, size: tuple[int, int]
) -> None:
    assert smaller(shape, longer) == size


def test_images_are_never_made_larger() -> None:
    with pytest.raises(DataError, match=r"data\.image_size: 32 is more than the 28 pixels"):
        smaller((20, 28, 1), 32)


def test_numbers_of_new_pixels_are_divided_among_those_that_they_are_means_of() -> None:
    parts = np.random.default_rng(2).standard_normal((3, 4, 5, 2))
    found = spread(parts, (8, 13))
    assert found.shape == (3, 8, 13, 2)
    np.testing.assert_allclose(found.sum((1, 2)), parts.sum((1, 2)))
    corner = spread(np.eye(1, 16).reshape(1, 4, 4, 1), (8, 8))
    assert (corner[0, 3:] == 0).all()
    assert (corner[0, :3, :3] > 0).all()


def test_whole_numbers_of_other_types_become_numbers_with_a_fraction() -> None:
    x = np.arange(16).reshape(1, 4, 4, 1) * 1000
    np.testing.assert_allclose(resized(x, (2, 2)), resized(x.astype(np.float64), (2, 2)))
