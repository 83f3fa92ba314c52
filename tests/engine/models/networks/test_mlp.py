"""The perceptron."""

from __future__ import annotations

import numpy as np

from hpo.data.dataset import DataSet
from tests.engine.models.by_hand import ROWS, a_model, assert_close, dense, inputs


def test_a_perceptron_of_no_width_is_a_linear_model() -> None:
    model, x = a_model(name="mlp", widths=[]), inputs(5)
    assert model.params.keys() == {"head"}
    assert_close(model.outputs(x)[0], dense(x.astype(np.float64), model.params["head"]))


def test_a_perceptron_takes_images(images: DataSet) -> None:
    outputs, _ = a_model(images, name="mlp").outputs(images.validation.x[:ROWS])
    assert outputs.shape == (ROWS, 3)
