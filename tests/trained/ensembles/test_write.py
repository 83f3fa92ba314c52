"""The folder of an ensemble, written around the models below it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from hpo.data.transforms.features import Features, NumberColumn
from hpo.trained.description import Description
from hpo.trained.ensembles.write import Ensembled, save_ensemble
from hpo.trained.load import TrainedModel

METRICS = {"validation": {"loss": 0.125}, "test": None}
MADE = Ensembled("people", {7: 1.0, 3: 0.0}, {"trial 7": METRICS, "mean": METRICS}, "mean", 2.5, 9)
FEATURES = Features((NumberColumn("age", "number"),), targets=("churn",))
TOLD = Description("classification", 2, ("no", "yes"), (1,), "float32", FEATURES)


def test_models_without_a_share_and_what_a_stop_has_left_are_not_kept(tmp_path: Path) -> None:
    partial = tmp_path / ".model.partial"
    for name in ("members/trial-7/spec.yaml", "members/trial-3/spec.yaml", "weights/d/0"):
        (partial / name).parent.mkdir(parents=True)
        (partial / name).write_text("")
    save_ensemble(tmp_path / "model", MADE, TOLD, {"data_fingerprint": "ab" * 32})
    stored = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert stored["files"] == [
        "README.md",
        "ensemble.json",
        "members/trial-7/spec.yaml",
        "model.json",
    ]
    assert stored["compared"] == {"trial 7": METRICS, "mean": METRICS}
    assert "- The mean of `trial-7` 100%" in (tmp_path / "model" / "README.md").read_text()
    found = TrainedModel.read(tmp_path / "model")
    assert (found.name, found.epochs, found.seconds) == ("people", 9, 2.5)
    assert found.metrics == METRICS


def test_another_ensemble_takes_its_place(tmp_path: Path) -> None:
    for made in (MADE, replace(MADE, name="others")):
        (tmp_path / ".model.partial" / "members" / "trial-7").mkdir(parents=True)
        (tmp_path / ".model.partial" / "members" / "trial-7" / "spec.yaml").write_text("")
        save_ensemble(tmp_path / "model", made, TOLD, {"data_fingerprint": ""})
    assert TrainedModel.read(tmp_path / "model").name == "others"
