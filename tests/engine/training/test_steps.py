"""Steps of a lane: against NumPy, and in any parts."""

from __future__ import annotations

import jax
import numpy as np

from hpo.data.dataset import DataSet
from hpo.engine.program import split
from hpo.engine.training.batches import host_data
from hpo.engine.training.task import task_of
from hpo.engine.training.weights import parted
from tests.engine.samples import a_training


def test_steps_are_those_of_gradient_descent_and_may_come_in_parts(tiny: DataSet) -> None:
    training = a_training(
        model={"name": "mlp", "widths": []},
        optimizer={"name": "sgd", "learning_rate": 0.5, "momentum": 0.0},
    )
    program, knobs = split(training, tiny, "cpu")
    task = task_of(program)
    lane, feed = task.initial(training), task.feed(training, 0)
    weights = parted(program, lane.params)["head"]
    kernel, bias = weights["kernel"].astype(np.float64), weights["bias"].astype(np.float64)
    train = jax.jit(task.train)
    data = host_data(tiny, is_whole=False)
    together = train(knobs, lane, data, feed, 3)
    apart = lane
    for rows in feed["rows"][:3]:
        apart = train(knobs, apart, data, feed, 1)
        x, y = tiny.train.x[rows].astype(np.float64), np.eye(3)[tiny.train.y[rows]]
        chances = np.exp(x @ kernel + bias)
        off = (chances / chances.sum(1, keepdims=True) - y) / len(rows)
        kernel, bias = kernel - 0.5 * x.T @ off, bias - 0.5 * off.sum(0)
    jax.tree.map(np.testing.assert_array_equal, together, apart)
    found = parted(program, together.params)["head"]
    np.testing.assert_allclose(found["kernel"], kernel, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["bias"], bias, rtol=1e-5, atol=1e-6)
