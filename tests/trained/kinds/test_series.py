"""Forecasts for new rows of a series."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hpo
from hpo.data.load import read_source
from hpo.data.split import split_sizes, split_times
from hpo.errors import HpoError
from hpo.trained.model import load_model
from hpo.trained.predict import answers, read_new
from tests.study.whole import Studies
from tests.trained.tables import an_experiment


@pytest.fixture(scope="module")
def power(tmp_path_factory: pytest.TempPathFactory, compile_cache: Path) -> Path:
    """The folder of `table.csv`, a series in any order, and of a linear `model` of it."""
    folder, rng = tmp_path_factory.mktemp("power"), np.random.default_rng(0)
    day = pd.date_range("2024-01-01", periods=120).astype(str)
    heat = np.sin(np.arange(120)).round(3)
    table = pd.DataFrame({"day": day, "heat": heat, "power": (heat + rng.random(120)).round(3)})
    table.sample(frac=1, random_state=0).to_csv(folder / "table.csv", index=False)
    series = {"csv": "table.csv", "target": "power", "time": "day", "window": 5, "horizon": 3}
    spec = an_experiment(
        folder, data={"dataset": series, "batch_size": 8}, model={"name": "mlp", "widths": []}
    )
    Studies(folder, compile_cache).train(spec, folder / "model")
    data = spec.training.data
    source = read_source(data, folder, None)
    sizes = split_sizes(data, len(source), has_own_test=False, classes=0)
    assert source.split_by is not None
    rows = split_times(sizes, source.split_by, 0).validation
    pd.read_csv(folder / "table.csv").iloc[rows].to_csv(folder / "new.csv", index=False)
    return folder


def test_the_score_of_the_validation_rows_is_the_stored_one_to_the_bit(power: Path) -> None:
    model = load_model(power / "model", "cpu")
    stored = json.loads((power / "model" / "metrics.json").read_text())["metrics"]
    assert model.score(read_new(model, power / "new.csv").source) == stored["validation"]


def test_each_window_is_forecast_by_itself_and_the_last_one_beyond_the_file(power: Path) -> None:
    model, rows = hpo.load(power / "model"), pd.read_csv(power / "new.csv").sort_values("day")
    found = model.predict(power / "new.csv")
    assert [*found] == ["day", "power_1", "power_2", "power_3"]
    assert found["day"].tolist() == rows["day"].tolist()[4:]
    for place in (0, 7, len(found) - 1):
        one = model.predict(rows.iloc[place : place + 5])
        pd.testing.assert_frame_equal(one, found.iloc[[place]].reset_index(drop=True))


def test_pieces_of_a_long_series_have_the_answers_of_the_whole(
    power: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(power / "model", "cpu")
    new = read_new(model, power / "new.csv")
    (whole,) = answers(model, new)
    monkeypatch.setattr("hpo.trained.predict.block_rows", lambda _: 4)
    pieces = [*answers(model, new, batch=4)]
    assert len(pieces) > 2
    for name, column in whole.items():
        assert np.concatenate([piece[name] for piece in pieces]).tolist() == column.tolist()


def test_a_gap_in_a_series_is_told(power: Path, tmp_path: Path) -> None:
    table = pd.read_csv(power / "new.csv").sort_values("day")
    table.iloc[[*range(6), *range(9, 15)]].to_csv(tmp_path / "new.csv", index=False)
    (note,) = read_new(load_model(power / "model", "cpu"), tmp_path / "new.csv").notes
    assert "steps" in note
    assert "longer than the usual one" in note


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"columns": ["heat", "power"]}, "has no column 'day', and a forecast needs the times"),
        ({"columns": ["day", "heat"]}, "has no column 'power', and a forecast needs the times"),
        ({"rows": 4}, "has 4 rows, and a window has 5: give as many rows of the past."),
        ({"scored": 7}, "7 rows are fewer than a window of 5 and a horizon of 3: give more rows"),
    ],
)
def test_a_series_that_does_not_suit_is_refused(
    power: Path, tmp_path: Path, change: dict[str, int | list[str]], told: str
) -> None:
    table = pd.read_csv(power / "new.csv").sort_values("day")[
        change.get("columns", ["day", "heat", "power"])
    ]
    count = change.get("rows", change.get("scored", 10))
    table.iloc[: int(str(count))].to_csv(tmp_path / "new.csv", index=False)
    model = hpo.load(power / "model")
    with pytest.raises(HpoError, match=told):
        model.score(tmp_path / "new.csv")
