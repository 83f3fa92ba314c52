"""Forecasts of a series: variables by whole windows, parts of their steps, the worst windows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from scipy.stats import t
from sklearn.inspection import permutation_importance

import hpo as package
from hpo.data.source import Source
from hpo.errors import HpoError
from hpo.trained.explain.explanation import explained
from hpo.trained.explain.findings import Explanation, How
from hpo.trained.explain.forecasts import apart
from hpo.trained.explain.rows import rows_to_explain
from hpo.trained.model import Model, load_model
from hpo.trained.predict import read_new
from hpo.trained.weights import read_weights
from tests.study.whole import Studies
from tests.trained.tables import an_experiment

WINDOW, HORIZON = 5, 3
COUNT = 30  # windows of 37 rows
VARIABLES = ("heat", "wind", "sky", "power")
HOW = How(repeats=2, worst=4)


def a_model(cache: Path, folder: Path, *overrides: str, widths: list[int] | None = None) -> Model:
    """The model of a series whose rows lie in any order in `table.csv`."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    heat = np.sin(np.arange(120)).round(3)
    table = pd.DataFrame(
        {
            "day": pd.date_range("2024-01-01", periods=120).astype(str),
            "heat": heat,
            "wind": rng.normal(size=120).round(3),
            "sky": rng.choice(["blue", "grey"], 120),
            "power": (40 * (heat + rng.random(120))).round(3),
        }
    )
    table.sample(frac=1, random_state=0).to_csv(folder / "table.csv", index=False)
    table.iloc[80:117].to_csv(folder / "new.csv", index=False)
    dataset = {"csv": "table.csv", "target": "power", "time": "day"}
    series = {**dataset, "window": WINDOW, "horizon": HORIZON}
    spec = an_experiment(
        folder,
        *overrides,
        data={"dataset": series, "batch_size": 8},
        model={"name": "mlp", "widths": widths or [], "activation": "gelu"},
    )
    Studies(folder, cache).train(spec, folder / "model")
    return load_model(folder / "model", "cpu")


@pytest.fixture(scope="module")
def power(tmp_path_factory: pytest.TempPathFactory, compile_cache: Path) -> Model:
    """A linear model."""
    return a_model(compile_cache, tmp_path_factory.mktemp("power"))


def source_of(model: Model) -> Source:
    return read_new(model, model.folder.parent / "new.csv").source


def found_for(model: Model, how: How = HOW) -> Explanation:
    return explained(model, read_new(model, model.folder.parent / "new.csv"), how)


class OfWindows:
    """A model as scikit-learn wants it: each row says for each variable whose window it takes."""

    def __init__(self, model: Model, table: pd.DataFrame) -> None:
        self.model, self.table = model, table

    def fit(self, *_: Any) -> None: ...

    def forecasts(self, rows: np.ndarray) -> np.ndarray:
        found = []
        for starts in rows:
            window = self.table.iloc[:WINDOW].copy()
            for name, start in zip(VARIABLES, starts, strict=True):
                window[name] = self.table[name].to_numpy()[start : start + WINDOW]
            found.append(self.model.predictions(read_new(self.model, window).source)[0])
        return np.array(found)


def test_importances_are_those_of_scikit_learn_for_rows_of_whole_windows(power: Model) -> None:
    table = pd.read_csv(power.folder.parent / "new.csv")
    ahead = sliding_window_view(table["power"].to_numpy()[WINDOW:], HORIZON)

    def score(model: OfWindows, rows: np.ndarray, y: np.ndarray) -> float:
        return -float(np.sqrt(np.square(model.forecasts(rows) - y).mean(0)).mean())

    rows = np.tile(np.arange(COUNT)[:, None], len(VARIABLES))
    expected = permutation_importance(
        OfWindows(power, table), rows, ahead, scoring=score, n_repeats=2, random_state=7
    )
    found = found_for(power, How(repeats=2, seed=7))
    assert (found.metric, found.rows, found.noun) == ("rmse", COUNT, "window")
    by_name = {one.column: one for one in found.importance}
    assert by_name.keys() == {*VARIABLES}
    for place, name in enumerate(VARIABLES):
        mean, own = expected.importances_mean[place], expected.importances[place]
        assert by_name[name].mean == pytest.approx(mean, abs=1e-4), name
        half = t.ppf(0.975, 1) * own.std(ddof=1) / np.sqrt(2)
        assert by_name[name].high == pytest.approx(mean + half, abs=1e-3)


def test_the_worst_windows_are_told_by_time_in_the_unit_of_the_target(power: Model) -> None:
    found = found_for(power)
    table = pd.read_csv(power.folder.parent / "new.csv")
    told = package.load(power.folder).predict(power.folder.parent / "new.csv").set_index("day")
    ahead = sliding_window_view(table["power"].to_numpy()[WINDOW:], HORIZON)
    errors = np.abs(told.to_numpy()[:COUNT] - ahead).mean(1)
    assert found.windows[0].error == pytest.approx(errors.max())
    assert found.windows[0].row == errors.argmax() + WINDOW
    assert len(found.windows) == 4
    for one in found.windows:
        assert one.time == table["day"][one.row - 1]
        assert one.truth == tuple(table["power"][one.row : one.row + HORIZON])
        np.testing.assert_allclose(one.forecast, told.loc[one.time].to_numpy(), rtol=1e-6)
        assert one.error == pytest.approx(errors[one.row - WINDOW])
    rows = np.sort([one.row for one in found.windows])
    assert (np.diff(rows) >= HORIZON).all()
    assert found.metrics["rmse"] == pytest.approx(
        np.sqrt(np.square(told.to_numpy()[:COUNT] - ahead).mean(0)).mean(), rel=1e-5
    )


def test_of_windows_that_forecast_the_same_values_the_worst_one_is_told() -> None:
    assert apart([4, 5, 2, 7, 1, 9], 3, 9) == [4, 7, 1]
    assert apart([4, 5, 2, 7, 1, 9], 1, 2) == [4, 5]


def test_the_parts_of_a_linear_model_are_weights_times_steps(power: Model) -> None:
    found, table = found_for(power).attribution, pd.read_csv(power.folder.parent / "new.csv")
    assert found is not None
    assert (found.names, found.parts.shape) == (VARIABLES, (4, WINDOW, 4))
    kernel = read_weights(power.folder, "model").runs[""]["params/head/kernel"]
    weights = kernel.astype(np.float64).reshape(WINDOW, -1, HORIZON).mean(2)
    fit = power.members[0].data.transform
    x = np.stack([table["heat"], table["wind"]], 1)
    x = (x - fit.offset) / fit.divisor
    past = (table["power"].to_numpy() - fit.target_mean) / fit.target_std
    grey = pd.get_dummies(table["sky"])[["blue", "grey"]].to_numpy(float)
    x = np.concatenate([x, grey, past[:, None]], 1)
    windows = np.moveaxis(sliding_window_view(x, WINDOW, axis=0), -1, 1)[:COUNT]
    starts = [one.row - WINDOW for one in found_for(power).windows]
    parts = float(fit.target_std) * weights * (windows[starts] - windows.mean(0))
    expected = np.stack(
        [parts[..., 0], parts[..., 1], parts[..., 2:4].sum(-1), parts[..., 4]], axis=-1
    )
    np.testing.assert_allclose(found.parts, expected, atol=1e-4)


def test_the_parts_of_a_network_add_up_to_the_rise_of_its_mean_forecast(
    compile_cache: Path, tmp_path: Path
) -> None:
    model = a_model(compile_cache, tmp_path, widths=[8])
    found = found_for(model)
    parts = found.attribution
    assert parts is not None
    assert parts.gap < 1e-4 * np.abs(parts.rises).max()
    means = np.array([np.mean(one.forecast) for one in found.windows])
    np.testing.assert_allclose(
        parts.parts.sum((1, 2))[1:] - parts.parts.sum((1, 2))[0], means[1:] - means[0], atol=1e-3
    )


def test_validation_rows_have_the_stored_metrics_and_the_times_of_the_file(power: Model) -> None:
    home = power.folder.parent
    found = explained(power, rows_to_explain(power, None, (home,), None), HOW)
    stored = json.loads((power.folder / "metrics.json").read_text())["metrics"]["validation"]
    assert found.metrics == pytest.approx(stored, rel=1e-5)
    days = pd.read_csv(home / "table.csv").set_index("day")
    for one in found.windows:
        after = pd.date_range(one.time, periods=HORIZON + 1).astype(str)[1:]
        assert one.truth == tuple(days.loc[after, "power"])


def test_the_command_tells_and_writes_the_same_as_programs_get(
    power: Model, tmp_path: Path, hpo: Any
) -> None:
    words = ("explain", str(power.folder), str(power.folder.parent / "new.csv"), "-q")
    shown = hpo(*words, "--worst", "2", "--repeats", "2", "-o", str(tmp_path / "why"))
    assert shown.code == 0, shown.err
    assert f"{COUNT} windows: loss" in shown.out
    assert "column, and how much worse rmse is without it (95 %)" in shown.out
    assert "the worst windows: values 1, 2 and 3 of 3 after a time" in shown.out
    plain = json.loads(hpo(*words, "--worst", "2", "--repeats", "2", "--json").out)
    assert plain == json.loads((tmp_path / "why" / "explanation.json").read_text())
    lines = pd.read_csv(tmp_path / "why" / "attributions.csv")
    assert lines["step"].tolist() == [*range(-WINDOW, 0)] * 2
    sums = lines.groupby("row")[[*VARIABLES]].sum().sum(axis=1)
    np.testing.assert_allclose(sums, lines.groupby("row")["rise"].first(), atol=1e-4)


def test_a_target_without_other_columns_is_explained_by_its_own_past(
    compile_cache: Path, tmp_path: Path
) -> None:
    model = a_model(compile_cache, tmp_path, "data.dataset.drop=[heat, wind, sky]")
    found = found_for(model, How("mae", repeats=2, worst=0))
    assert [one.column for one in found.importance] == ["power"]
    assert (found.metric, found.windows, found.attribution) == ("mae", (), None)


def test_a_single_window_has_neither_importance_nor_parts(power: Model, tmp_path: Path) -> None:
    pd.read_csv(power.folder.parent / "new.csv").iloc[:8].to_csv(tmp_path / "one.csv")
    found = explained(power, read_new(power, tmp_path / "one.csv"), HOW)
    assert (found.rows, found.importance, found.attribution) == (1, (), None)
    assert len(found.windows) == 1


def test_a_series_without_a_window_and_its_values_is_refused(power: Model, tmp_path: Path) -> None:
    pd.read_csv(power.folder.parent / "new.csv").iloc[:7].to_csv(tmp_path / "few.csv")
    told = r"7 rows are fewer than a window of 5 and a horizon of 3: give more rows\."
    with pytest.raises(HpoError, match=told):
        explained(power, read_new(power, tmp_path / "few.csv"), HOW)
    with pytest.raises(HpoError, match=r"--metric: unknown name 'rsme'\. Did you mean 'rmse'"):
        found_for(power, How("rsme"))
