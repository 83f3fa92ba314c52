"""Rows that train beside those of the training split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.data.cache import DataCache
from hpo.data.dataset import DataSet
from hpo.data.load import load_data
from hpo.spec.sections.data import DataSpec

TABLE = {"csv": "t.csv", "target": "y", "weight": "w"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    lines = (f"{rng.normal():.4f},{'pqr'[n % 3]},{n % 2},{1 + n % 3}" for n in range(60))
    (tmp_path / "t.csv").write_text("a,c,y,w\n" + "\n".join(lines) + "\n")
    # Far from the other rows, so that a fit that saw them would be another one.
    extra = (f"{1000 + n},{'pqz'[n % 3]},{n % 2},6" for n in range(9))
    (tmp_path / "more.csv").write_text("a,c,y,w\n" + "\n".join(extra) + "\n")
    np.savez(
        tmp_path / "more.npz",
        x=np.arange(5 * 64, dtype=np.uint8).reshape(5, 8, 8),
        y=[3, 0, 9, 3, 1],
    )
    return tmp_path


def _load(folder: Path, dataset: Any, **data: Any) -> DataSet:
    return load_data(DataSpec.model_validate({"dataset": dataset, **data}), folder, None)


def _same(one: DataSet, other: DataSet) -> None:
    """The splits of one are those of another data set, and what was fitted too."""
    for name, split in other.splits.items():
        for key, array in split.arrays.items():
            np.testing.assert_array_equal(one.splits[name].arrays[key], array)
    for key, array in other.transform.to_arrays().items():
        np.testing.assert_array_equal(one.transform.to_arrays()[key], array)


@pytest.mark.parametrize("folds", [None, 3])
def test_extra_rows_of_a_table_change_no_split_and_no_fit(folder: Path, folds: int | None) -> None:
    plain = _load(folder, TABLE, folds=folds)
    data = _load(folder, TABLE, folds=folds, extra="more.csv")
    assert data.fingerprint != plain.fingerprint
    assert data.train_rows == plain.train_rows
    for one, other in zip(data.members, plain.members, strict=True):
        _same(one, other)
        assert one.extra is not None
        offset, divisor = one.transform.offset, one.transform.divisor
        scaled = (1000 + np.arange(9.0) - offset[0]) / divisor[0]
        np.testing.assert_allclose(one.extra.x[:, 0], scaled, rtol=1e-6)
        # The category z is that of no training row, so all of its columns are 0.
        np.testing.assert_array_equal(one.extra.x[:, 1:].sum(1), [1, 1, 0] * 3)
        np.testing.assert_array_equal(one.extra.y, np.arange(9) % 2)
        np.testing.assert_allclose(one.extra.arrays["weight"], 6 / one.features.weight_mean)
        # A device holds the rows that train at these places.
        for name, array in data.resident.items():
            drawn = np.concatenate([one.train.arrays[name], one.extra.arrays[name]])
            np.testing.assert_array_equal(array[one.drawn_places], drawn)
    assert data.resident["y"].nbytes - plain.resident["y"].nbytes == len(data.members) * 9 * 4


@pytest.mark.parametrize(
    "data", [{}, {"folds": 3}, {"store": "uint8"}, {"folds": 3, "class_weight": "balanced"}]
)
def test_extra_images_are_scaled_as_the_others(folder: Path, data: dict[str, Any]) -> None:
    plain, found = (
        _load(folder, "digits", **data),
        _load(folder, "digits", **data, extra="more.npz"),
    )
    pixels = np.load(folder / "more.npz")["x"][..., None]
    for one, other in zip(found.members, plain.members, strict=True):
        _same(one, other)
        assert one.extra is not None
        expected = (pixels - one.transform.offset) / one.transform.divisor
        np.testing.assert_allclose(one.extra.x, expected, rtol=1e-5, atol=1e-5)
        resident = found.resident
        assert len(resident["y"]) > one.drawn_places.max()
        np.testing.assert_array_equal(resident["y"][one.drawn_places[-5:]], [3, 0, 9, 3, 1])


def test_extra_rows_have_the_weight_of_their_class(folder: Path) -> None:
    weights = {"0": 1.0, "1": 3.0}
    table = {key: value for key, value in TABLE.items() if key != "weight"} | {"drop": ["w"]}
    data = _load(folder, table, extra="more.csv", class_weight=weights)
    assert data.extra is not None
    own, extra = data.train.arrays["weight"], data.extra.arrays["weight"]
    for number in (0, 1):
        np.testing.assert_allclose(extra[data.extra.y == number], own[data.train.y == number][0])


def test_extra_rows_are_read_afresh_beside_an_entry_of_the_cache(folder: Path) -> None:
    (folder / "cache").mkdir(mode=0o700)
    cache = DataCache(folder / "cache")
    spec = DataSpec.model_validate({"dataset": TABLE, "extra": "more.csv"})
    first = load_data(spec, folder, None, cache)
    again = load_data(spec, folder, None, cache)
    assert again.fingerprint == first.fingerprint
    _same(again, first)
    (folder / "more.csv").write_text("a,c,y,w\n1,p,0,1\n")
    other = load_data(spec, folder, None, cache)
    assert other.fingerprint != first.fingerprint
    assert cache.usage().entries == 1
