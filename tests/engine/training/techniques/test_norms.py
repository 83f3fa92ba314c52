"""Norms of the gradient by layer: values by NumPy, and a deep network whose norms fall by layer."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.devices import local_devices
from hpo.engine.pools.pool import Pool
from hpo.engine.program import Program, split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.training.supervised import Supervised, abstract_lane
from hpo.spec.experiment import Training
from tests.engine.samples import a_training


def trained(data: DataSet, compiler: Compiler, training: Training) -> list[dict[str, float]]:
    """The metrics of each epoch."""
    pool, found = Pool(local_devices("cpu")[0], compiler), list[dict[str, float]]()
    program, knobs = split(training, data, "cpu")
    pool.load(program, Plans(Plan("map", 1)), data)
    pool.put(0, 0, training, knobs, None, training.train.epochs)  # type: ignore[arg-type]
    while pool.has_work:
        found += [report.metrics for report in pool.round()]
    return found


def a_linear_model(data: DataSet, **train: Any) -> Training:
    model = {"name": "mlp", "widths": []}
    return a_training(
        model=model,
        data={"dataset": "iris", "batch_size": len(data.train)},
        optimizer={"name": "sgd", "learning_rate": 0.5, "momentum": 0.0},
        train={"epochs": 3, **train},
    )


def test_the_norms_of_a_softmax_regression_are_those_of_numpy(
    tiny: DataSet, compiler: Compiler
) -> None:
    training = a_linear_model(tiny, gradient_norms=True)
    program, _ = split(training, tiny, "cpu")
    assert isinstance(program, Program)
    x, y = tiny.train.arrays["x"].astype(np.float64), np.eye(3)[tiny.train.arrays["y"]]
    weights = np.asarray(Supervised(program).initial(training).params, np.float64)
    bias, kernel = weights[:3], weights[3:].reshape(5, 3)
    for metrics in trained(tiny, compiler, training):
        logits = x @ kernel + bias
        chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        of_bias, of_kernel = (chances - y).mean(0), x.T @ (chances - y) / len(x)
        norm = np.sqrt((of_bias**2).sum() + (of_kernel**2).sum())
        assert metrics["gradient_norm"] == pytest.approx(norm, rel=1e-4)
        assert metrics["gradient_norm/head"] == pytest.approx(norm, rel=1e-4)
        bias, kernel = bias - 0.5 * of_bias, kernel - 0.5 * of_kernel


def test_the_norms_of_a_deep_sigmoid_network_fall_towards_its_first_layer(
    tiny: DataSet, compiler: Compiler
) -> None:
    model = {"name": "mlp", "widths": [8] * 10, "activation": "sigmoid"}
    training = a_training(model=model, train={"epochs": 1, "gradient_norms": True})
    (metrics,) = trained(tiny, compiler, training)
    norms = [metrics[f"gradient_norm/linears/{layer}"] for layer in range(10)]
    assert all(low < high for low, high in pairwise(norms))
    assert norms[0] < 1e-3 * norms[-1]


def test_norms_that_no_spec_asks_for_are_not_in_the_lane(tiny: DataSet) -> None:
    plain, _ = split(a_linear_model(tiny), tiny, "cpu")
    asked, _ = split(a_linear_model(tiny, gradient_norms=True), tiny, "cpu")
    assert isinstance(plain, Program)
    assert isinstance(asked, Program)
    assert abstract_lane(plain).norms is None
    assert abstract_lane(asked).norms.shape == (2,)
