"""The folder of an ensemble, and folders that only look like one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hpo.errors import HpoError
from hpo.trained.ensembles.ensemble import Ensemble, load_answering
from hpo.trained.model import load_model


@pytest.fixture
def folder(churn: Path, tmp_path: Path) -> Path:
    """An ensemble of the same model twice."""
    place = tmp_path / "together"
    for name in ("trial-1", "trial-2"):
        shutil.copytree(churn / "model", place / "members" / name)
    for name in ("metrics.json", "model.json"):
        shutil.copy(churn / "model" / name, place)
    shares = {"trial-1": 0.25, "trial-2": 0.75}
    (place / "ensemble.json").write_text(json.dumps({"format": 1, "shares": shares}))
    return place


def test_an_ensemble_has_its_models_by_their_shares_and_the_folders_temperature(
    folder: Path, churn: Path
) -> None:
    found = load_answering(folder, "cpu")
    assert isinstance(found, Ensemble)
    assert found.shares == (0.25, 0.75)
    assert found.temperature == load_model(churn / "model", "cpu").temperature
    assert len(found.members) == 2
    with pytest.raises(HpoError, match=r"holds an ensemble: give the folder of one of its models"):
        load_model(folder, "cpu")


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([], "is no ensemble"),
        ({"format": 2}, "is of format 2, newer"),
        ({"format": 1, "shares": {}}, "names no members"),
        ({"format": 1, "shares": {"../trial-1": 1.0}}, "names no members"),
        ({"format": 1, "shares": {"trial-1": "1"}}, "has a share that is not between 0 and 1"),
        ({"format": 1, "shares": {"trial-1": 0.5}}, "has shares that do not add up to 1"),
        ({"format": 1, "shares": {"trial-9": 1.0}}, "trial-9: there is no such folder"),
    ],
)
def test_a_damaged_ensemble_is_one_sentence(folder: Path, document: Any, told: str) -> None:
    (folder / "ensemble.json").write_text(json.dumps(document))
    with pytest.raises(HpoError) as refused:
        load_answering(folder, "cpu")
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_members_with_other_classes_are_refused(folder: Path) -> None:
    file = folder / "members" / "trial-2" / "model.json"
    file.write_text(file.read_text().replace('"yes"', '"sure"'))
    with pytest.raises(HpoError, match="its members answer different questions"):
        load_answering(folder, "cpu")
