"""The corrupted copy of validation rows, beside NumPy and SciPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from hpo.data.corruptions import (
    CORRUPTED,
    OWN_TARGETS,
    OWN_WEIGHTS,
    Numbers,
    blurred,
    brighter,
    corrupted,
    with_less_contrast,
    with_noise,
    with_salt_and_pepper,
)
from hpo.data.dataset import DataSet, Split
from hpo.data.load import load_data
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec
from tests.engine.samples import tiny_data

HERE = Path()
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
    found, again = corrupted(data, _spec(*kinds), HERE), corrupted(data, _spec(*kinds), HERE)
    assert found.train is data.train
    assert found.test is not None
    for split, plain in ((found.validation, data.validation), (found.test, data.test)):
        assert plain is not None
        assert split.arrays[CORRUPTED].dtype == np.float32
        np.testing.assert_array_equal(split.x, plain.x)
        assert (split.arrays[CORRUPTED] != plain.x).any((1, 2, 3)).all()
    copies = (one.validation.arrays[CORRUPTED] for one in (found, again))
    np.testing.assert_array_equal(*copies)
    assert corrupted(data, _spec(), HERE) is data


def test_a_stronger_change_moves_the_same_rows_further() -> None:
    data = _images()
    weak, strong = (
        corrupted(data, _spec("gaussian_noise", severity=s), HERE).validation for s in (0.1, 1.0)
    )
    moved = weak.arrays[CORRUPTED] - weak.x, strong.arrays[CORRUPTED] - strong.x
    np.testing.assert_allclose(10 * moved[0], moved[1], atol=1e-4)


def test_changes_of_images_are_refused_for_tables() -> None:
    with pytest.raises(DataError, match=r"data.corrupt.kinds: blur is for images: remove it"):
        corrupted(tiny_data(), _spec("gaussian_noise", "blur"), HERE)
    tokens = tiny_data().train.shared | {"x": np.zeros((96, 5), np.int32)}
    texts = DataSet("classification", Split(tokens), Split(tokens), None, 3, "t")
    with pytest.raises(DataError, match="for one validation split of images or of rows of numbers"):
        corrupted(texts, _spec("gaussian_noise"), HERE)


def _rows_of(split: Split) -> list[tuple[Any, ...]]:
    """The rows beside a split that have a weight: features, target, and that weight in the sum."""
    own, targets, weights = (split.arrays[name] for name in (CORRUPTED, OWN_TARGETS, OWN_WEIGHTS))
    row_weight = split.row_weight
    total = weights * (1 if row_weight is None else row_weight[:, None])
    return sorted(
        (*own[at].tolist(), int(targets[at]), round(float(total[at]), 4))
        for at in zip(*np.nonzero(total), strict=True)
    )


def test_rows_of_the_users_own_judge_beside_validation_and_test_each_in_one_of_them(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    lines = (f"{rng.normal():.3f},{row % 2},{row % 3}" for row in range(40))
    (tmp_path / "t.csv").write_text("a,y,w\n" + "\n".join(lines) + "\n")
    weights = rng.integers(1, 4, 51)
    lines = (f"{50 + row},{row % 2},{weight}" for row, weight in enumerate(weights))
    (tmp_path / "own.csv").write_text("a,y,w\n" + "\n".join(lines) + "\n")
    table = {"csv": "t.csv", "target": "y", "weight": "w"}
    spec = DataSpec.model_validate({"dataset": table, "corrupt": {"from": "own.csv"}})
    plain = load_data(spec, tmp_path, None)
    found = corrupted(plain, spec, tmp_path)
    assert found.test is not None
    assert found.train is plain.train
    assert found.fingerprint != plain.fingerprint
    seen = []
    for split in (found.validation, found.test):
        rows = _rows_of(split)
        own = np.round(np.array([row[0] for row in rows]) * plain.transform.divisor[0])
        numbers = (own + np.round(plain.transform.offset[0]) - 50).astype(int)
        seen += numbers.tolist()
        assert [row[1] for row in rows] == (numbers % 2).tolist()
        assert split.row_weight is not None
        whole = split.row_weight.sum() / weights[numbers].sum()
        np.testing.assert_allclose([row[2] for row in rows], weights[numbers] * whole, rtol=1e-3)
    assert sorted(seen) == list(range(51))
    (tmp_path / "own.csv").write_text("a,y,w\n1,0,1\n")
    with pytest.raises(DataError, match=r"own\.csv has one row for validation and test: write mor"):
        corrupted(plain, spec, tmp_path)
