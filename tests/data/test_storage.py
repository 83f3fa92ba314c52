"""Stored features, beside NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.data.cache import DataCache
from hpo.data.dataset import DataSet, stored
from hpo.data.load import load_data
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec

HERE = Path()


def _data(dataset: str = "digits", **data: Any) -> DataSet:
    return load_data(DataSpec.model_validate({"dataset": dataset, **data}), HERE, None)


@pytest.mark.parametrize("normalize", ["standard", "minmax", "none"])
def test_uint8_holds_the_pixels_as_read_and_scales_them_to_the_same_numbers(normalize: str) -> None:
    plain, data = _data(normalize=normalize), _data(normalize=normalize, store="uint8")
    offset, divisor = data.transform.offset, data.transform.divisor
    for ours, theirs in [(data.train, plain.train), (data.validation, plain.validation)]:
        pixels = ours.held["x"]
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, np.rint(theirs.x * divisor + offset))
        assert set(np.unique(pixels)) == set(range(17))
        np.testing.assert_allclose(ours.x, theirs.x, rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(ours.y, theirs.y)
    assert data.resident["x"].nbytes * 4 == plain.resident["x"].nbytes
    assert data.fingerprint == plain.fingerprint
    assert data.train.example_type == "float32"
    np.testing.assert_allclose(data.pixel_ends, plain.pixel_ends, rtol=1e-6)


@pytest.mark.parametrize("folds", [None, 3])
def test_float16_holds_features_as_numpy_rounds_them(folds: int | None) -> None:
    plain, data = _data("iris", folds=folds), _data("iris", folds=folds, store="float16")
    for ours, theirs in zip(data.members, plain.members, strict=True):
        expected = theirs.train.x.astype(np.float16)
        np.testing.assert_array_equal(ours.train.held["x"], expected)
        np.testing.assert_array_equal(ours.train.x, expected.astype(np.float32))
    assert data.resident["x"].nbytes * 2 == plain.resident["x"].nbytes


def test_all_types_share_an_entry_of_the_cache(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o700)
    cache = DataCache(tmp_path / "cache")
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{n},{n % 2}\n" for n in range(40)))
    table = {"csv": "t.csv", "target": "y"}
    for kind in ("float32", "float16", "float32"):
        spec = DataSpec.model_validate({"dataset": table, "store": kind})
        assert load_data(spec, tmp_path, None, cache).train.held["x"].dtype == kind
    assert cache.usage().entries == 1


def test_features_that_a_type_cannot_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.store: uint8 is for images that were read as who"):
        _data("iris", store="uint8")
    with pytest.raises(DataError, match=r"data\.store: uint8 holds images as read, and whiten or"):
        _data(normalize="whiten", store="uint8")
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{n}e5,{n % 2}\n" for n in range(40)))
    table = {"csv": "t.csv", "target": "y"}
    spec = DataSpec.model_validate({"dataset": table, "normalize": "none", "store": "float16"})
    with pytest.raises(DataError, match=r"data\.store: float16 ends at 65,504, and a feature is"):
        load_data(spec, tmp_path, None)
    (tmp_path / "t.txt").write_text("abcdefgh" * 500)
    spec = DataSpec.model_validate({"dataset": {"text": "t.txt"}, "store": "float16"})
    with pytest.raises(DataError, match=r"data\.store: float16 is for images and tables of numb"):
        load_data(spec, tmp_path, None)


def test_folds_of_images_stay_as_they_lie() -> None:
    data = _data(folds=3)
    assert stored(data, "float16") is data
