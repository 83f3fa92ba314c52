"""RealMLP: against NumPy, finite differences and the paper's count of weights."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

from hpo.engine.models.abstract import abstract_model
from hpo.engine.models.sizes import model_size
from hpo.engine.program import split
from hpo.engine.training.supervised import initial_lane, judged
from hpo.spec.experiment import Training
from tests.engine.models.by_hand import BY_HAND, TINY, a_model, assert_close, inputs
from tests.engine.samples import Learn, a_training

_OPTIMIZER = {"name": "adam", "learning_rate": 0.04, "beta2": 0.95, "schedule": {"name": "coslog"}}


def _forward(params: Any, x: np.ndarray, activation: str, frequency: float) -> np.ndarray:
    """The outputs in float64, from the paper's formulas."""
    params = jax.tree.map(lambda leaf: leaf.astype(np.float64), params)
    x = x.astype(np.float64)
    if "inputs" in params:
        p = params["inputs"]["periodic"][0]
        waves = np.cos(
            2 * math.pi * frequency * x[:, :, None] * p["frequencies"] + 0.1 * p["phases"]
        )
        found = [0.1 * (waves[:, i] @ p["waves"][i] + p["offsets"][i]) for i in range(x.shape[1])]
        x = np.concatenate([x, *found], axis=1)
    x = x * (1 + 6 * params["scale"])
    for _, layer in sorted(params["layers"].items()):
        z = x @ layer["kernel"] / math.sqrt(x.shape[1]) + 0.1 * layer["bias"]
        mix = 1 + 0.1 * layer["mix"]
        x = (1 - mix) * z + mix * BY_HAND[activation](z)
    return x @ params["head"] / math.sqrt(x.shape[1]) + 0.1 * params["head_bias"]


@pytest.mark.parametrize(("activation", "numbers"), [("selu", "periodic"), ("mish", "none")])
def test_the_outputs_are_those_of_numpy(activation: str, numbers: str) -> None:
    model = a_model(name="realmlp", widths=[4, 3], activation=activation, numbers=numbers)
    x = inputs(5)
    assert_close(model.outputs(x)[0], _forward(model.params, x, activation, 0.1))


def test_the_gradient_is_that_of_finite_differences() -> None:
    model, x = a_model(name="realmlp", widths=[4, 3]), inputs(5)
    rng = np.random.default_rng(0)
    direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), model.params)

    def loss(params: Any) -> Any:
        return (model._replace(params=params).outputs(x)[0] ** 2).sum()

    def at(step: float) -> float:
        moved = jax.tree.map(lambda p, d: p + step * d, model.params, direction)
        return float((_forward(moved, x, "selu", 0.1) ** 2).sum())

    gradient = jax.grad(loss)(model.params)
    slope = sum(jax.tree.leaves(jax.tree.map(lambda g, d: (g * d).sum(), gradient, direction)))
    np.testing.assert_allclose(slope, (at(1e-6) - at(-1e-6)) / 2e-6, rtol=1e-3)


def _training(stream: int = 0, **leaves: Any) -> Training:
    model = {"name": "realmlp", "widths": [16, 16], **leaves}
    return a_training(stream, model=model, optimizer=_OPTIMIZER)


def test_it_starts_at_zero_with_units_of_the_same_spread_at_every_width() -> None:
    x = np.random.default_rng(0).standard_normal((500, 5)).astype(np.float32)
    for width in (64, 512):
        training = _training(widths=[width, width], numbers="none")
        program, _ = split(training, TINY, "cpu")
        params, _ = judged(program, training, initial_lane(program, training))
        assert not _forward(params, x, "selu", 0.1).any()  # the head is 0
        # A normal kernel and a normal bias add their variances: 1 + 1.
        first = params["layers"][0]
        z = x @ first["kernel"] / math.sqrt(5) + 0.1 * first["bias"]
        assert z.std() == pytest.approx(math.sqrt(2), rel=0.12)


def test_its_weights_are_as_many_as_those_of_the_paper() -> None:
    # 3 layers of 256; 4 features for each of 10 numbers; the factors of inputs and activations.
    model = a_training(model={"name": "realmlp"}).model
    features = 10 * 4
    layers = features * 256 + 256 * 256 * 2 + 3 * 256 + 256 * 2 + 2
    factors = features + 3 * 256
    periodic = 10 * (16 + 16 + 16 * 3 + 3)
    assert model_size(model, (10,), 2).weights == layers + factors + periodic


def test_only_columns_of_numbers_have_waves() -> None:
    program, _ = split(_training(), TINY, "cpu")
    assert program.numbers is None  # unknown: these data are no table
    some = abstract_model(replace(program, numbers=2)).params
    assert some["inputs"]["periodic"][0]["phases"].shape == (2, 16)
    assert some["scale"].shape == (5 + 2 * 3,)
    assert "inputs" not in abstract_model(replace(program, numbers=0)).params


def test_vectors_of_categories_stand_beside_the_numbers() -> None:
    program, _ = split(_training(embedding=7), TINY, "cpu")
    params = abstract_model(replace(program, categories=(4, 9), numbers=2)).params
    # 2 codes become 7 numbers each; 2 of the other 3 features have 3 features of waves each.
    assert params["scale"].shape == (2 * 7 + 3 + 2 * 3,)


def test_it_learns_the_same_in_a_merged_program_as_alone(learn: Learn) -> None:
    merged = {"widths": [[16, 16], [8, 12]]}
    trainings = [
        _with_merged(_training(0), merged),
        _with_merged(_training(1, widths=[8, 12]), merged),
    ]
    assert len({split(training, TINY, "cpu")[0] for training in trainings}) == 1
    together = learn(TINY, trainings, lanes=2)
    alone = learn(TINY, [_training(1, widths=[8, 12])], lanes=1)
    assert together[0][-1]["accuracy"] > 0.8
    for ours, own in zip(together[1], alone[1], strict=True):
        assert ours["loss"] == pytest.approx(own["loss"], rel=1e-3)


def _with_merged(training: Training, merged: Any) -> Training:
    document = training.model_dump(exclude={"train"})
    train = {**training.train.model_dump(), "merged": merged}
    return Training.model_validate({**document, "train": train})
