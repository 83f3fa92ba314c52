"""What `hpo bench` measures, and the latency of models that are not trained."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.data.load import load_data
from hpo.errors import HpoError
from hpo.spec.experiment import Training
from hpo.spec.load import load_document
from hpo.trained.ensembles.ensemble import Ensemble
from hpo.trained.exported import bench, comparing
from hpo.trained.exported.bench import (
    BATCHES,
    drawn_rows,
    exported_call,
    exported_shape,
    fastest_ms,
    timings,
    without_engine,
)
from hpo.trained.exported.onnx_model import session
from tests.trained.exported.drawn import data_of, drawn

SPECS: dict[str, dict[str, Any]] = {
    "codes": {"name": "mlp"},
    "amounts": {"name": "mlp", "widths": [4]},
    "colours": {"name": "cnn", "filters": [2], "dense": 4},
    "masks": {"name": "unet", "filters": 2, "depth": 1},
    "windows": {"name": "rnn", "width": 4},
    "language": {"name": "transformer", "width": 8, "depth": 1},
}


@pytest.mark.long
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


def test_numbers_of_rows_that_do_not_fit_in_memory_are_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = drawn(tmp_path, data_of(tmp_path, "colours"), SPECS["colours"])
    monkeypatch.setattr(bench, "without_engine", lambda _: "no engine")
    for rows, most in ((64, [1, 8, 64]), (63, [1, 8]), (0, [1])):
        room = 4 * rows * model.row_bytes
        monkeypatch.setattr(bench, "available_bytes", lambda room=room: room)
        ticks = count()
        assert [one.rows for one in timings(model, lambda ticks=ticks: float(next(ticks)))] == most


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


def _training(
    folder: Path, kind: str, model: dict[str, Any], **parts: Any
) -> tuple[Training, DataSet, str]:
    """The training of an experiment, its data, and the platform."""
    document = {
        "name": "timed",
        "data": data_of(folder, kind),
        "model": model,
        "optimizer": {"name": "adamw", "learning_rate": 0.01},
        "train": {"epochs": 1},
        **parts,
    }
    training: Any = load_document(document, folder).training
    return training, load_data(training.data, folder, None), "cpu"


def test_the_shortest_of_many_calls_counts() -> None:
    ticks = count()

    def call() -> None:
        for _ in range(calls_left.pop() if calls_left else 5):
            next(ticks)

    calls_left = [5] * 7 + [3] + [9, 9]  # from the last on; the first one is not timed
    assert fastest_ms(call, lambda: 0.001 * next(ticks)) == pytest.approx(4)


@pytest.mark.parametrize("weights", ["none", "integer", "learned"])
def test_a_row_goes_from_its_cells_to_its_answer_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str
) -> None:
    monkeypatch.setattr(
        "hpo.trained.exported.onnx_model.session",
        lambda file: made.append(file) or session(file),
    )
    made: list[bytes] = []
    call: Any = exported_call(
        *_training(
            tmp_path,
            "table",
            {"name": "mlp", "widths": [8]},
            compression={"weights": {"name": weights}},
        )
    )
    found = call()
    assert found.shape == (1, 2)
    np.testing.assert_allclose(found.sum(), 1)
    assert [one.name for one in call.args[0].get_inputs()] == ["numbers", "texts"]
    (file,) = made
    assert b"QuantizeLinear" not in file


@pytest.mark.parametrize(("kind", "shape"), [("windows", (1, 2)), ("language", (1, 8, 12))])
def test_a_window_and_a_row_of_tokens_have_a_latency(
    kind: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    call = exported_call(*_training(tmp_path, kind, SPECS[kind]))
    assert call().shape == shape


def test_trainings_of_one_graph_have_one_shape(tmp_path: Path) -> None:
    def shape(**compression: Any) -> object:
        model = {"name": "mlp", "widths": [8]}
        return exported_shape(*_training(tmp_path, "table", model, compression=compression))

    def weights(**leaves: Any) -> object:
        return shape(weights={"name": "integer", **leaves})

    assert shape() == weights(bits=3) == weights(bits=4, begin=0.2)
    assert shape() == shape(weights={"name": "ternary"}, sparsity={"name": "magnitude"})
    assert shape(activations={"bits": 4}) == shape(activations={"bits": 8})
    others = {
        shape(),
        shape(activations={"bits": 4}),
        shape(activations={"top": 0.5}),
        shape(activations={"bits": 4, "top": 0.5}),
    }
    assert len(others) == 4


def test_a_model_that_cannot_be_exported_has_no_such_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.trained.exported.folder.find_spec", lambda _: None)
    with pytest.raises(HpoError, match="needs onnx and onnxruntime, which are not installed"):
        exported_call(*_training(tmp_path, "table", {"name": "mlp"}))
