"""What is kept of a trial's predictions for the validation rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.data.load import load_data
from hpo.engine.program import Program, split
from hpo.engine.training.lane import lane_to_arrays
from hpo.engine.training.task import task_of
from hpo.spec.experiment import Training
from hpo.study.loop import predictions
from hpo.study.loop.predictions import validation_predictions
from tests.study.whole import an_experiment


def a_program() -> tuple[Program, Training, Any]:
    training = an_experiment().training
    assert isinstance(training, Training)
    data = load_data(training.data, Path.cwd(), None)
    return split(training, data, "cpu")[0], training, data


def zeros_of(program: Program) -> dict[str, np.ndarray]:
    shapes = lane_to_arrays(task_of(program).shapes())
    return {name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in shapes.items()}


def test_weights_of_zero_find_all_classes_alike() -> None:
    program, training, data = a_program()
    found = validation_predictions(program, training, data, {"0": zeros_of(program)})
    assert found is not None
    np.testing.assert_array_equal(found, np.full((30, 3), 1 / 3))


def test_states_of_another_shape_predict_nothing() -> None:
    program, training, data = a_program()
    states = {"0": {**zeros_of(program), "params": np.zeros(5, np.float32)}}
    assert validation_predictions(program, training, data, states) is None


def test_large_predictions_and_those_for_pixels_are_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program, training, data = a_program()
    states = {"0": zeros_of(program)}
    monkeypatch.setattr(predictions, "MOST_BYTES", 30 * 3 * 8)
    assert validation_predictions(program, training, data, states) is not None
    monkeypatch.setattr(predictions, "MOST_BYTES", 30 * 3 * 8 - 1)
    assert validation_predictions(program, training, data, states) is None
    monkeypatch.undo()
    pixels = data.__class__(**{**vars(data), "task": "segmentation"})
    assert validation_predictions(program, training, pixels, states) is None
