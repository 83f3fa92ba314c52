"""Presets of tables: RealMLP, a space by the preset, and first points that lie in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from hpo.data.overview.overview import Overview, Target
from hpo.report.init.budget import budget_for
from hpo.report.init.draft import draft
from hpo.report.init.presets import Preset, suits, widths_for
from hpo.spec.load import load_document, require_search

_TARGETS = {
    "classification": Target(("y",), "classification", "", "", {"a": 300, "b": 200}),
    "regression": Target(("y",), "regression", "", ""),
}


def _table(task: str) -> Overview:
    dataset = {"csv": "t.csv", "target": "y"}
    return Overview("t.csv", dataset, 500, 500, True, _TARGETS[task], features=10)


@pytest.mark.parametrize("task", _TARGETS)
@pytest.mark.parametrize("preset", get_args(Preset))
def test_a_preset_is_a_valid_search_of_realmlp(preset: Preset, task: str) -> None:
    seen = _table(task)
    made = draft(seen, budget_for(seen, preset, None, 2), 2, "t.yaml").document
    experiment = load_document(made, Path())
    assert made["space"]["include"] == [f"tables_{preset}"]
    assert experiment.training.model.name == "realmlp"
    assert (experiment.training.loss is None) == (task == "regression")
    assert require_search(experiment).scheduler.name == "none"
    assert len(require_search(experiment).start) == 4


def test_each_preset_varies_what_the_one_before_varies_and_more() -> None:
    seen = _table("regression")
    quick, good, best = (
        {dimension.path for dimension in load_document(made, Path()).space.dimensions}
        for preset in get_args(Preset)
        for made in [draft(seen, budget_for(seen, preset, None, 2), 2, "t.yaml").document]
    )
    assert quick < good < best


def test_images_series_and_very_many_features_have_no_preset() -> None:
    table = _table("regression")
    assert suits(table)
    assert not suits(replace(table, shape=(8, 8, 1)))
    assert not suits(replace(table, dataset={"csv": "t.csv", "window": 48}))
    assert not suits(replace(table, features=5000))


def test_more_rows_have_wider_layers() -> None:
    assert [widths_for(rows)[0] for rows in (100, 5000, 50_000)] == [64, 128, 256]
