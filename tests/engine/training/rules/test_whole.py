"""L-BFGS against SciPy, and exact least squares against NumPy, in trainings of lanes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

from hpo.data.dataset import DataSet, Split
from hpo.engine.program import split
from hpo.engine.training.batches import host_data
from hpo.engine.training.rules.whole import check_whole
from hpo.engine.training.supervised import own_weights
from hpo.engine.training.task import task_of
from hpo.engine.training.weights import weight_count
from hpo.errors import HpoError
from hpo.spec.experiment import Training
from tests.engine.samples import ROWS, a_training

_LINEAR: dict[str, Any] = {
    "model": {"name": "mlp", "widths": [], "dropout": 0.0},
    "data__batch_size": ROWS,
}


def _fitted(data: DataSet, trainings: list[Training], steps: int) -> list[Any]:
    """The weights of lanes of one program after some steps of all rows, mapped by `vmap`."""
    (program,) = {split(training, data, "cpu")[0] for training in trainings}
    task = task_of(program)
    rows = jax.tree.map(jnp.asarray, (host_data(data, is_whole=False), task.feed(trainings[0], 0)))

    def train(knobs: Any, lane: Any) -> Any:
        return task.train(knobs, lane, *rows, steps)

    knobs = np.stack([split(training, data, "cpu")[1] for training in trainings])
    lanes = jax.tree.map(lambda *a: np.stack(a), *map(task.initial, trainings))
    after = jax.device_get(jax.jit(jax.vmap(train))(knobs, lanes))
    each = [jax.tree.map(lambda a, n=n: a[n], after) for n in range(len(trainings))]
    return [own_weights(program, *pair)[0]["head"] for pair in zip(trainings, each, strict=True)]


def _logistic(weights: np.ndarray, x: np.ndarray, y: np.ndarray, decay: float) -> float:
    kernel, bias = weights[:15].reshape(5, 3), weights[15:]
    outputs = x @ kernel + bias
    losses = logsumexp(outputs, axis=1) - outputs[np.arange(len(y)), y]
    return float(losses.mean() + 0.5 * decay * (weights**2).sum())


def test_logistic_regression_is_that_of_scipy_for_each_lane(tiny: DataSet) -> None:
    decays = (0.1, 0.01)
    trainings = [
        a_training(**_LINEAR, optimizer={"name": "lbfgs", "weight_decay": decay})
        for decay in decays
    ]
    x, y = tiny.train.x.astype(np.float64), tiny.train.y
    for found, decay in zip(_fitted(tiny, trainings, 40), decays, strict=True):
        best = minimize(_logistic, np.zeros(18), (x, y, decay), method="L-BFGS-B", tol=1e-12)
        np.testing.assert_allclose(found["kernel"].ravel(), best.x[:15], rtol=5e-3, atol=1e-3)
        np.testing.assert_allclose(found["bias"], best.x[15:], rtol=5e-3, atol=1e-3)


@pytest.fixture
def twice(line: DataSet) -> DataSet:
    """A noisy regression, one of whose features is there twice: many solutions are as good."""
    rng = np.random.default_rng(1)

    def changed(part: Split) -> Split:
        x = np.concatenate([part.x, part.x[:, :1]], axis=1)
        noise = rng.standard_normal(len(part)).astype(np.float32)
        return Split({"x": x, "y": (x @ np.arange(6) + 0.5 + noise).astype(np.float32)})

    return replace(line, train=changed(line.train), validation=changed(line.validation))


def test_one_step_is_the_least_squares_of_numpy(twice: DataSet) -> None:
    decays = (1e-30, 0.3)  # the first changes nothing, and has the same program
    trainings = [
        a_training(**_LINEAR, optimizer={"name": "exact", "weight_decay": decay})
        for decay in decays
    ]
    found = _fitted(twice, trainings, 1)
    x = np.concatenate([twice.train.x, np.ones((ROWS, 1))], axis=1).astype(np.float64)
    least = np.linalg.lstsq(x, twice.train.y, rcond=None)[0]
    # Of the mean of squares plus half the squares of the weights times the decay.
    ridge = np.linalg.solve(2 * x.T @ x / ROWS + 0.3 * np.eye(7), 2 * x.T @ twice.train.y / ROWS)
    for ours, expected in zip(found, (least, ridge), strict=True):
        np.testing.assert_allclose(ours["kernel"].ravel(), expected[:6], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(ours["bias"], expected[6:], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("leaves", "why"),
    [
        ({"data__batch_size": 16}, "takes all training rows in one step, and data.batch_size is"),
        ({"model": {"name": "mlp", "widths": [4]}}, "this model is not linear"),
        ({"loss": {"name": "mae"}}, "the loss is not the mse of a regression"),
    ],
)
def test_other_batches_and_models_are_refused(
    twice: DataSet, leaves: dict[str, Any], why: str
) -> None:
    training = a_training(**{**_LINEAR, "optimizer": {"name": "exact"}, **leaves})
    program, _ = split(training, twice, "cpu")
    with pytest.raises(HpoError, match=why):
        task_of(program).shapes()
    with pytest.raises(HpoError, match=f"{why}"):
        check_whole(program, weight_count(program))


def test_a_linear_model_of_many_weights_is_refused(twice: DataSet) -> None:
    program, _ = split(a_training(**_LINEAR, optimizer={"name": "exact"}), twice, "cpu")
    with pytest.raises(HpoError, match="2,001 weights, more than 2,000"):
        check_whole(program, 2_001)
