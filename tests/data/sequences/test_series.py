"""A series in a table: windows of the past, forecasts, and splits by time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from hpo.data.cache import DataCache
from hpo.data.dataset import SPLITS, gather
from hpo.data.load import load_data
from hpo.data.sequences.windows import Windows
from hpo.errors import DataError, SpecError
from hpo.spec.load import load_document
from hpo.spec.sections.data import DataSpec
from tests.documents import SMALL

ROWS = 200


def _table(folder: Path, **columns: Any) -> pd.DataFrame:
    """A series of 200 hours in `s.csv`, the latest first."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "when": pd.date_range("2024-02-28", periods=ROWS, freq="h"),
            "load": rng.standard_normal(ROWS).cumsum() + 50,
            "heat": 20 * rng.random(ROWS),
            **columns,
        }
    )
    table[::-1].to_csv(folder / "s.csv", index=False)
    return table


def _spec(folder: Path, data: Any = None, **dataset: Any) -> DataSpec:
    series = {"csv": "s.csv", "target": "load", "time": "when", "window": 12, "horizon": 4}
    document = {
        **SMALL,
        "data": {"dataset": {**series, **dataset}, "batch_size": 8, **(data or {})},
        "search": {"objective": {"minimize": "rmse"}, "trials": 2, "baselines": False},
    }
    return load_document(document, folder).training.data


def test_each_split_has_the_windows_of_its_own_times_scaled_by_the_training_part(
    tmp_path: Path,
) -> None:
    table = _table(tmp_path)
    data = load_data(_spec(tmp_path), tmp_path, None)

    assert (data.task, data.outputs) == ("regression", 4)
    values = table[["heat", "load"]].to_numpy()
    scaled = StandardScaler().fit(values[:120]).transform(values).astype(np.float32)
    for name, times in zip(SPLITS, (range(120), range(120, 160), range(160, 200)), strict=True):
        part = getattr(data, name)
        first = range(times.start, times.stop - 15)
        assert len(part) == len(first)
        x = np.stack([scaled[start : start + 12] for start in first])
        y = np.stack([scaled[start + 12 : start + 16, 1] for start in first])
        np.testing.assert_allclose(part.x, x, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(part.y, y, rtol=1e-5, atol=1e-6)
    assert data.target_mean == pytest.approx(values[:120, 1].mean())
    assert isinstance(data.train.shared, Windows)
    assert data.train.shared.array.shape == (ROWS, 2)


def test_changed_later_rows_change_no_bit_of_the_training_windows(tmp_path: Path) -> None:
    table = _table(tmp_path)
    before = load_data(_spec(tmp_path), tmp_path, None)
    table.loc[120:, ["load", "heat"]] = 1e6
    table.to_csv(tmp_path / "s.csv", index=False)
    after = load_data(_spec(tmp_path), tmp_path, None)
    for name in ("x", "y"):
        np.testing.assert_array_equal(before.train.arrays[name], after.train.arrays[name])
    assert before.fingerprint != after.fingerprint


def test_a_gap_is_left_out_before_validation_and_test(tmp_path: Path) -> None:
    _table(tmp_path)
    split = {"split": {"time": "when", "gap": "6h"}}
    data = load_data(_spec(tmp_path, split), tmp_path, None)
    counts = [len(getattr(data, name)) for name in SPLITS]
    plain = load_data(_spec(tmp_path), tmp_path, None)
    assert counts == [len(plain.train) - 6, len(plain.validation) - 6, 25]


def test_a_series_may_have_no_column_but_its_target_and_one_step_to_forecast(
    tmp_path: Path,
) -> None:
    table = _table(tmp_path)
    table[["when", "load"]].to_csv(tmp_path / "s.csv", index=False)
    data = load_data(_spec(tmp_path, horizon=1), tmp_path, None)
    assert data.train.x.shape[1:] == (12, 1)
    assert data.train.y.shape == (108,)
    np.testing.assert_array_equal(data.train.y[:-12], data.train.x[12:, 0, 0])


def test_windows_are_not_cached_and_those_of_another_length_are_other_data(tmp_path: Path) -> None:
    _table(tmp_path)
    (tmp_path / "cache").mkdir(mode=0o700)
    cache = DataCache(tmp_path / "cache")
    prints = [
        load_data(_spec(tmp_path, horizon=horizon), tmp_path, None, cache).fingerprint
        for horizon in (4, 4, 5)
    ]
    assert prints[0] == prints[1] != prints[2]
    assert cache.usage().entries == 0


def test_uneven_steps_are_told(tmp_path: Path) -> None:
    table = _table(tmp_path)
    table.drop(index=[20, 21, 90]).to_csv(tmp_path / "s.csv", index=False)
    data = load_data(_spec(tmp_path), tmp_path, None)
    assert data.notes == (
        "s.csv: 2 of 196 steps of column 'when' are shorter or longer than the usual one, and "
        "windows count rows, not time: fill the gaps if that matters.",
    )


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        ({"window": 60}, r"window: 60 rows and a horizon of 4 are more than the 40 rows of the va"),
        ({"time": "twice"}, r"time: 100 rows of column 'twice' have the time of another row \(su"),
        ({"time": "none"}, r"data\.dataset\.time: unknown column 'none'"),
        ({"time": "load"}, r"data\.dataset\.time: 'load' is the target"),
    ],
)
def test_a_series_that_gives_no_windows_is_refused(
    tmp_path: Path, dataset: dict[str, Any], says: str
) -> None:
    _table(tmp_path, twice=np.arange(ROWS) // 2)
    with pytest.raises(DataError, match=says):
        load_data(_spec(tmp_path, **dataset), tmp_path, None)


@pytest.mark.parametrize(
    ("dataset", "data", "says"),
    [
        ({"time": None}, {}, "window needs time: name the column that orders the rows"),
        ({"window": None}, {}, "time and horizon are of a series: add window, or remove them"),
        ({"task": "counts"}, {}, "window forecasts a quantity, and task is counts"),
        ({"target": ["load", "heat"]}, {}, "window forecasts one target, and target lists several"),
        ({"weight": "heat"}, {}, "windows have no weights: remove weight"),
        ({"test": "t.csv"}, {}, "a series is split by its time: remove test"),
        ({}, {"split": {"group": "heat"}}, "a series is split by its time: remove split, or wri"),
    ],
)
def test_a_spec_that_is_no_series_is_refused(
    tmp_path: Path, dataset: dict[str, Any], data: dict[str, Any], says: str
) -> None:
    _table(tmp_path)
    with pytest.raises(SpecError, match=says):
        _spec(tmp_path, data, **dataset)


def test_folds_of_a_series_go_forward_in_time_with_windows_of_their_own(tmp_path: Path) -> None:
    table = _table(tmp_path)
    data = load_data(_spec(tmp_path, {"folds": 3, "test": 0.2}), tmp_path, None)

    values = table[["heat", "load"]].to_numpy()
    # 160 times are left, of which the last three quarters validate, one after the other.
    for fold, first in zip(data.folds, (40, 80, 120), strict=True):
        scale = StandardScaler().fit(values[:first])
        scaled = scale.transform(values).astype(np.float32)
        parts = ((0, first), (first, first + 40), (160, 200))
        for name, (start, end) in zip(SPLITS, parts, strict=True):
            split = getattr(fold, name)
            assert len(split) == end - start - 12 - 4 + 1
            np.testing.assert_allclose(split.x[0], scaled[start : start + 12], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(split.y[-1], scaled[end - 4 : end, 1], rtol=1e-4, atol=1e-5)
            rows = gather(data.resident, split.places) if name != "test" else split.arrays
            np.testing.assert_array_equal(rows["x"], split.x)
            np.testing.assert_array_equal(rows["y"], split.y)
    held = data.resident
    assert isinstance(held, Windows)
    assert held.array.shape == (80 + 120 + 160, 2)
