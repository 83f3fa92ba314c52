"""The temperature that a training leaves in its folder, and what it changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

import hpo
from hpo.data.dataset import Split
from hpo.engine.training.metrics.classes import calibration_error
from hpo.errors import HpoError
from hpo.trained.calibration import calibration_of
from hpo.trained.model import load_model
from tests.study.whole import Studies
from tests.trained.tables import an_experiment, rows_of, trained, write_rows, write_table


def stored(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


def chances_and_truth(folder: Path, split: str, place: Path, *, raw: bool) -> Any:
    file = write_rows(folder / "table.csv", rows_of(an_experiment(folder), split), place)
    found = hpo.load(folder / "model").predict(file, raw=raw)
    truth = (pd.read_csv(file)["churn"] == "yes").to_numpy(int)
    return found, found[["churn_no", "churn_yes"]].to_numpy(), truth


def test_a_folder_keeps_the_temperature_that_scipy_finds_on_validation(
    churn: Path, tmp_path: Path
) -> None:
    _, chances, truth = chances_and_truth(churn, "validation", tmp_path / "v.csv", raw=True)
    odds = np.log(chances[:, 1] / chances[:, 0]) * np.where(truth, 1, -1)

    def loss(temperature: float) -> float:
        return float(np.log1p(np.exp(-odds / temperature)).mean())

    expected = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9})
    assert stored(churn / "model")["temperature"] == pytest.approx(expected.x, rel=1e-4)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_predictions_have_the_temperature_unless_they_are_asked_for_raw(
    churn: Path, tmp_path: Path, split: str
) -> None:
    document = stored(churn / "model")
    raw, before, truth = chances_and_truth(churn, split, tmp_path / "rows.csv", raw=True)
    told, after, _ = chances_and_truth(churn, split, tmp_path / "rows.csv", raw=False)
    assert told["churn"].tolist() == raw["churn"].tolist()
    np.testing.assert_allclose(
        np.log(after[:, 1] / after[:, 0]) * document["temperature"],
        np.log(before[:, 1] / before[:, 0]),
        atol=1e-9,
    )
    errors = document["calibration_error"][split]
    assert errors["raw"] == pytest.approx(calibration_error(before, truth, None), abs=1e-6)
    assert errors["tempered"] == pytest.approx(calibration_error(after, truth, None), abs=1e-6)
    card = (churn / "model" / "README.md").read_text()
    assert f"Calibration error on {split}: {errors['raw']:.4f} without it" in card


def test_a_folder_of_an_earlier_release_has_no_temperature(churn: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(churn / "model", folder)
    document = stored(folder)
    del document["temperature"], document["calibration_error"]
    (folder / "metrics.json").write_text(json.dumps(document))
    assert load_model(folder, "cpu").temperature == 1
    for wrong in (-1, 10**400):
        document["temperature"] = wrong
        (folder / "metrics.json").write_text(json.dumps(document))
        with pytest.raises(HpoError, match=r"metrics\.json: is damaged \(has the temperature -?1"):
            load_model(folder, "cpu")


def test_seeds_have_the_temperature_of_their_mean_and_folds_and_quantities_have_none(
    studies: Studies, tmp_path: Path
) -> None:
    write_table(tmp_path / "table.csv")
    folder = trained(studies, tmp_path, "train.seeds=2")
    found = load_model(folder, "cpu")
    file = write_rows(
        tmp_path / "table.csv", rows_of(an_experiment(tmp_path), "validation"), tmp_path / "v.csv"
    )
    mean = hpo.load(folder).predict(file, raw=True)[["churn_no", "churn_yes"]].to_numpy()
    y = (pd.read_csv(file)["churn"] == "yes").to_numpy(np.int32)
    expected = calibration_of(mean, Split({"x": mean, "y": y}), None, None)
    assert expected is not None
    assert found.temperature == pytest.approx(expected.temperature, rel=1e-5)
    shutil.rmtree(folder)
    assert "temperature" not in stored(trained(studies, tmp_path, "data.folds=2"))
    shutil.rmtree(folder)
    write_table(tmp_path / "table.csv", target="score")
    assert "temperature" not in stored(trained(studies, tmp_path))
