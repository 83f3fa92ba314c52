"""The latency of models that are not trained, by a clock that is made up."""

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
from hpo.trained.exported.latency import exported_call, exported_shape, fastest_ms
from hpo.trained.exported.onnx_model import session
from tests.trained.exported.drawn import data_of


def trained(
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
        *trained(
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


def test_trainings_of_one_graph_have_one_shape(tmp_path: Path) -> None:
    def shape(**compression: Any) -> object:
        model = {"name": "mlp", "widths": [8]}
        return exported_shape(*trained(tmp_path, "table", model, compression=compression))

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
        exported_call(*trained(tmp_path, "table", {"name": "mlp"}))
