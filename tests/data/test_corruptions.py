"""The corrupted copy of validation rows, beside NumPy and SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from hpo.data.corruptions import (
    CORRUPTED,
    Numbers,
    blurred,
    brighter,
    corrupted,
    with_less_contrast,
    with_noise,
    with_salt_and_pepper,
)
from hpo.data.dataset import DataSet, Split
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec
from tests.engine.samples import tiny_data

RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((30, 6, 5, 2)).astype(np.float32)
NUMBERS = Numbers(2.0, -3.0, 4.0)


def _images(shape: tuple[int, ...] = (6, 5, 2)) -> DataSet:
    def split(rows: int) -> Split:
        x = RNG.standard_normal((rows, *shape)).astype(np.float32)
        return Split({"x": x, "y": np.arange(rows) % 3})

    return DataSet("classification", split(60), split(40), split(20), 3, "images")


def _spec(*kinds: str, **more: Any) -> DataSpec:
    corrupt = {"kinds": kinds, **more}
    return DataSpec.model_validate({"dataset": "digits", "corrupt": corrupt})


def test_noise_has_the_deviation_that_is_asked_for() -> None:
    x = np.zeros((200, 500), np.float32)
    noise = with_noise(x, 0.5, NUMBERS, np.random.default_rng(1))
    assert noise.std() == pytest.approx(1.0, rel=0.01)
    assert abs(noise.mean()) < 0.01


def test_salt_and_pepper_are_half_of_the_share_each() -> None:
    x = np.zeros((200, 500), np.float32)
    found = with_salt_and_pepper(x, 0.5, NUMBERS, np.random.default_rng(1))
    values, counts = np.unique(found, return_counts=True)
    np.testing.assert_array_equal(values, [-3, 0, 4])
    np.testing.assert_allclose(counts / x.size, [0.05, 0.9, 0.05], atol=0.002)


def test_images_get_brighter_lose_contrast_and_are_blurred_as_numpy_and_scipy_do() -> None:
    rng = np.random.default_rng(1)
    np.testing.assert_allclose(
        brighter(IMAGES, 0.25, NUMBERS, rng), np.minimum(IMAGES + 0.5, max(4, IMAGES.max()))
    )
    flat = with_less_contrast(IMAGES, 1.0, NUMBERS, rng)
    np.testing.assert_allclose(flat.std((1, 2, 3)), IMAGES.std((1, 2, 3)) / 2, rtol=1e-5)
    np.testing.assert_allclose(flat.mean((1, 2, 3)), IMAGES.mean((1, 2, 3)), atol=1e-6)
    for severity, size in ((0.5, 3), (1.0, 5)):
        wanted = uniform_filter(IMAGES, (1, size, size, 1), mode="nearest")
        np.testing.assert_allclose(blurred(IMAGES, severity, NUMBERS, rng), wanted, atol=1e-5)


def test_each_row_has_one_change_the_same_at_each_load_and_no_training_row_has_any() -> None:
    data = _images()
    kinds = "gaussian_noise", "salt_pepper", "brightness", "contrast", "blur"
    found, again = corrupted(data, _spec(*kinds)), corrupted(data, _spec(*kinds))
    assert found.train is data.train
    assert found.test is not None
    for split, plain in ((found.validation, data.validation), (found.test, data.test)):
        assert plain is not None
        assert split.arrays[CORRUPTED].dtype == np.float32
        np.testing.assert_array_equal(split.x, plain.x)
        assert (split.arrays[CORRUPTED] != plain.x).any((1, 2, 3)).all()
    copies = (one.validation.arrays[CORRUPTED] for one in (found, again))
    np.testing.assert_array_equal(*copies)
    assert corrupted(data, _spec()) is data


def test_a_stronger_change_moves_the_same_rows_further() -> None:
    data = _images()
    weak, strong = (
        corrupted(data, _spec("gaussian_noise", severity=s)).validation for s in (0.1, 1.0)
    )
    moved = weak.arrays[CORRUPTED] - weak.x, strong.arrays[CORRUPTED] - strong.x
    np.testing.assert_allclose(10 * moved[0], moved[1], atol=1e-4)


def test_changes_of_images_are_refused_for_tables() -> None:
    with pytest.raises(DataError, match=r"data.corrupt.kinds: blur is for images: remove it"):
        corrupted(tiny_data(), _spec("gaussian_noise", "blur"))
    tokens = tiny_data().train.shared | {"x": np.zeros((96, 5), np.int32)}
    texts = DataSet("classification", Split(tokens), Split(tokens), None, 3, "t")
    with pytest.raises(DataError, match="for one validation split of images or of rows of numbers"):
        corrupted(texts, _spec("gaussian_noise"))
