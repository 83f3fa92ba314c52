"""The latency of models that are not trained, by a clock that is made up."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.data.load import load_data
from hpo.errors import HpoError
from hpo.spec.load import load_document
from hpo.trained.exported.latency import exported_call, fastest_ms
from tests.trained.exported.drawn import data_of


def call_of(folder: Path, kind: str, model: dict[str, Any], **parts: Any) -> Any:
    """A call of the exported model of an experiment."""
    document = {
        "name": "timed",
        "data": data_of(folder, kind),
        "model": model,
        "optimizer": {"name": "adamw", "learning_rate": 0.01},
        "train": {"epochs": 1},
        **parts,
    }
    experiment = load_document(document, folder)
    training: Any = experiment.training
    return exported_call(training, load_data(training.data, folder, None), "cpu")


def test_the_shortest_of_many_calls_counts() -> None:
    ticks = count()

    def call() -> None:
        for _ in range(calls_left.pop() if calls_left else 5):
            next(ticks)

    calls_left = [5] * 7 + [3] + [9, 9]  # from the last on; the first one is not timed
    assert fastest_ms(call, lambda: 0.001 * next(ticks)) == pytest.approx(4)


def test_a_row_goes_from_its_cells_to_its_answer(tmp_path: Path) -> None:
    integer = {"compression": {"weights": {"name": "integer", "bits": 4}}}
    for parts in ({}, integer):
        call = call_of(tmp_path, "table", {"name": "mlp", "widths": [8]}, **parts)
        found = call()
        assert found.shape == (1, 2)
        np.testing.assert_allclose(found.sum(), 1)
        engine = call.args[0]
        assert [one.name for one in engine.get_inputs()] == ["numbers", "texts"]


def test_a_model_that_cannot_be_exported_has_no_such_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.trained.exported.folder.find_spec", lambda _: None)
    with pytest.raises(HpoError, match="needs onnx and onnxruntime, which are not installed"):
        call_of(tmp_path, "table", {"name": "mlp"})
