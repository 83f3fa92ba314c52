"""Layers: activations and norms against their definitions in NumPy."""

from __future__ import annotations

from typing import get_args

import jax.numpy as jnp
import numpy as np
import pytest

from hpo.engine.models.layers import ACTIVATIONS
from hpo.spec.marks import with_leaves
from hpo.spec.sections import model as specs
from hpo.spec.sections.model import Cnn
from tests.engine.models.by_hand import BY_HAND, a_model, assert_close, dense, inputs, normalised


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_perceptron_is_that_of_numpy_with_every_activation(name: str) -> None:
    model, x = a_model(name="mlp", widths=[4, 3], activation=name), inputs(5)
    hidden = x.astype(np.float64)
    for layer in model.params["linears"].values():
        hidden = BY_HAND[name](dense(hidden, layer))
    assert_close(model.outputs(x)[0], dense(hidden, model.params["head"]))


def test_the_slope_of_leaky_relu_is_a_number_of_the_program() -> None:
    model, x = a_model(name="mlp", widths=[4], activation="leaky_relu", slope=0.3), inputs(5)
    first, head = model.params["linears"][0], model.params["head"]
    hidden = dense(x.astype(np.float64), first)
    for slope in (0.01, 0.1, 0.3):
        spec = with_leaves(model.spec, {"slope": jnp.float32(slope)})
        by_hand = dense(np.where(hidden > 0, hidden, slope * hidden), head)
        assert_close(model._replace(spec=spec).outputs(x)[0], by_hand)


@pytest.mark.parametrize("train", [False, True])
def test_a_layer_norm_is_over_the_features_of_each_example(train: bool) -> None:
    model, x = a_model(name="mlp", widths=[4, 3], norm="layer"), inputs(5)
    hidden = x.astype(np.float64)
    for layer, norm in zip(
        model.params["linears"].values(), model.params["norms"].values(), strict=True
    ):
        z = dense(hidden, layer)
        mean, var = z.mean(1, keepdims=True), z.var(1, keepdims=True)
        hidden = np.maximum(normalised(z, norm, mean, var, 1e-6), 0)
    assert_close(model.outputs(x, train)[0], dense(hidden, model.params["head"]))


@pytest.mark.parametrize("train", [False, True])
def test_a_batch_norm_is_over_the_batch_in_training_and_its_history_in_evaluation(
    train: bool,
) -> None:
    model, x = a_model(name="mlp", widths=[4], norm="batch"), inputs(5)
    norm, history = model.params["norms"][0], model.statistics["norms"][0]
    z = dense(x.astype(np.float64), model.params["linears"][0])
    mean, var = (z.mean(0), z.var(0)) if train else (history["mean"], history["var"])
    hidden = np.maximum(normalised(z, norm, mean, var, 1e-5), 0)
    outputs, statistics = model.outputs(x, train)
    assert_close(outputs, dense(hidden, model.params["head"]))

    share = 0.1 if train else 0.0  # of a batch in the running statistics
    after = statistics["norms"][0]
    assert_close(after["mean"], (1 - share) * history["mean"] + share * z.mean(0))
    assert_close(after["var"], (1 - share) * history["var"] + share * z.var(0))


def test_every_activation_is_tested_here() -> None:
    assert set(ACTIVATIONS) == set(BY_HAND) == set(get_args(specs.Activation))
    assert Cnn(name="cnn").norm in get_args(specs.Norm)
