"""What `hpo bench` measures."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from hpo.errors import HpoError
from hpo.trained.ensembles.ensemble import Ensemble
from hpo.trained.exported import bench, comparing
from hpo.trained.exported.bench import BATCHES, drawn_rows, timings, without_engine
from tests.trained.exported.drawn import data_of, drawn

SPECS: dict[str, dict[str, Any]] = {
    "codes": {"name": "mlp"},
    "amounts": {"name": "mlp", "widths": [4]},
    "colours": {"name": "cnn", "filters": [2], "dense": 4},
    "masks": {"name": "unet", "filters": 2, "depth": 1},
    "windows": {"name": "rnn", "width": 4},
    "language": {"name": "transformer", "width": 8, "depth": 1},
}


@pytest.mark.parametrize("kind", SPECS)
def test_each_engine_answers_every_number_of_rows(kind: str, tmp_path: Path) -> None:
    model, _ = drawn(tmp_path, data_of(tmp_path, kind), SPECS[kind])
    ticks = count()
    found = [*timings(model, lambda: float(next(ticks)))]
    assert [(one.engine, one.rows) for one in found] == [
        (engine, rows) for rows in BATCHES for engine in ("jax", "onnxruntime", "float16", "int8")
    ]
    # Each call lies between two readings of the clock.
    assert {one.milliseconds for one in found} == {1000.0}
    assert found[-1].rows_a_second == BATCHES[-1]


def test_a_model_that_onnxruntime_cannot_run_is_measured_in_jax(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise HpoError("no graph takes it")

    monkeypatch.setattr("hpo.trained.exported.onnx_model.network", refuse)
    model, _ = drawn(tmp_path, data_of(tmp_path, "texts"), {"name": "rnn", "width": 4})
    reason = without_engine(model)
    assert reason is not None
    assert "no graph takes it" in reason
    (features,) = drawn_rows(model, 3).features(model)
    assert len(features) == 3
    ticks = count()
    found = [*timings(model, lambda: float(next(ticks)))]
    assert {one.engine for one in found} == {"jax"}


def test_rows_whose_answers_are_too_many_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = drawn(tmp_path, data_of(tmp_path, "language"), SPECS["language"])
    monkeypatch.setattr(comparing, "NUMBERS_AT_ONCE", 8 * model.description.outputs * 8)
    ticks = count()
    found = timings(model, lambda: float(next(ticks)))
    assert {one.rows for one in found} == {1, 8}


def test_an_ensemble_is_timed_as_one_model(tmp_path: Path) -> None:
    model, _ = drawn(tmp_path, data_of(tmp_path, "table"), {"name": "mlp", "widths": []})
    ticks = count()
    found = timings(Ensemble(tmp_path, (model, model), (0.5, 0.5)), lambda: float(next(ticks)))
    assert {one.engine for one in found} == {"jax", "onnxruntime", "float16", "int8"}


def test_without_the_extra_jax_is_measured_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = drawn(tmp_path, data_of(tmp_path, "table"), {"name": "mlp"})
    assert without_engine(model) is None
    monkeypatch.setattr("hpo.trained.exported.folder.find_spec", lambda _: None)
    assert "pip install" in str(bench.without_engine(model))
