"""How answers of an export are compared with those of its model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.data.load import load_data
from hpo.errors import HpoError
from hpo.trained.exported import comparing
from hpo.trained.exported.comparing import compared, differences, loss_text, rows_at_once
from hpo.trained.model import Model
from tests.trained.exported.drawn import data_of, drawn

SPECS: dict[str, dict[str, Any]] = {
    "table": {"name": "mlp", "widths": []},
    "amounts": {"name": "mlp", "widths": []},
    "masks": {"name": "unet", "filters": 2, "depth": 1},
    "language": {"name": "rnn", "width": 4},
    "windows": {"name": "mlp", "widths": []},
}


def _drawn(folder: Path, kind: str) -> tuple[Model, Any]:
    return drawn(folder, data_of(folder, kind), SPECS[kind])


def test_a_difference_of_chances_is_absolute_and_that_of_quantities_in_deviations(
    tmp_path: Path,
) -> None:
    model, _ = _drawn(tmp_path, "table")
    chances = np.array([[0.25, 0.75], [1.0, 0.0]])
    assert differences(model, chances + 0.125, chances).max() == 0.125
    model, _ = _drawn(tmp_path, "amounts")
    std = model.data.transform.target_std
    values = np.array([[100.0, 7.0]])
    assert differences(model, values + np.array([0, std[1] / 2]), values).max() == pytest.approx(
        0.5
    )


def test_losses_are_told_by_metric() -> None:
    told = loss_text({"model": {"accuracy": 0.98}, "export": {"accuracy": 0.975}})
    assert told == "accuracy 0.98 -> 0.975"


@pytest.mark.parametrize("kind", ["masks", "language", "windows", "table"])
def test_the_metrics_of_pieces_are_those_of_the_validation_split(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, source = _drawn(tmp_path, kind)
    (member,) = model.members
    data = load_data(model.training.data, tmp_path, None)
    expected = model.metrics_on(member._replace(data=data), data.validation)
    answers = model.predictions(source)
    monkeypatch.setattr(comparing, "NUMBERS_AT_ONCE", 3 * answers[0].size)
    assert rows_at_once(model) == 3
    found = compared(model, source, lambda rows: answers[rows], 1e-6, "float32", is_judged=True)
    assert found.rows == len(answers) > 3
    assert found.difference < 1e-6
    assert found.metrics is not None
    for metrics in found.metrics.values():
        assert metrics == {name: pytest.approx(one, rel=1e-4) for name, one in expected.items()}


def test_one_answer_that_is_no_number_is_enough_to_refuse(tmp_path: Path) -> None:
    model, source = _drawn(tmp_path, "language")
    answers = model.predictions(source)
    answers[1, 2, 3] = np.nan
    with pytest.raises(HpoError, match="up to nan apart from the model"):
        compared(model, source, lambda rows: answers[rows], 1e-5, "float32", is_judged=False)


def test_chances_are_compared_at_the_temperature_and_judged_without(tmp_path: Path) -> None:
    model, source = _drawn(tmp_path, "table")
    warm, chances = replace(model, temperature=2.0), model.predictions(source)
    roots = np.sqrt(chances)
    answers = roots / roots.sum(1, keepdims=True)
    found = compared(warm, source, lambda rows: answers[rows], 1e-9, "float32", is_judged=True)
    assert found.metrics is not None
    assert found.metrics["export"] == {
        name: pytest.approx(one) for name, one in found.metrics["model"].items()
    }
