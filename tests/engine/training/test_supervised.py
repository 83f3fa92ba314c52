"""Supervised training: weights of rows, joined batches, and linear models against scikit-learn."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from hpo.data.dataset import DataSet, Split
from hpo.engine.devices import local_devices
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.training.supervised import own_weights
from hpo.spec.experiment import Training
from tests.engine.samples import Learn, a_training, tiny_data

_PLAIN = {"name": "mlp", "widths": [8], "activation": "tanh"}


def _weights(data: DataSet, training: Training, compiler: Compiler) -> dict[str, Any]:
    """The result of a training."""
    program, knobs = split(training, data, "cpu")
    pool = Pool(local_devices("cpu")[0], compiler)
    pool.load(program, Plans(Plan("map", 1)), data)
    pool.put(0, 0, training, knobs, None, training.train.epochs)
    while pool.has_work:
        pool.round()
    params, _ = own_weights(program, training, pool.take(0))
    return dict(params)


@pytest.mark.parametrize(
    "optimizer", [{"name": "adamw"}, {"name": "sgd", "momentum": 0.9}], ids=str
)
def test_accumulated_batches_are_one_step_on_the_joined_batch(
    compiler: Compiler, optimizer: dict[str, Any]
) -> None:
    data = tiny_data()
    leaves = {"model": _PLAIN, "optimizer": {"learning_rate": 0.05, **optimizer}}
    # 96 rows: an epoch is six batches of 16, joined two batches of 48.
    apart = a_training(**leaves, data__batch_size=16, updates={"accumulate": 3})
    joined = a_training(**leaves, data__batch_size=48)
    _assert_equal(_weights(data, apart, compiler), _weights(data, joined, compiler))


def test_schedules_count_updates(compiler: Compiler) -> None:
    data, schedule = tiny_data(), {"name": "cosine", "warmup": 0.3}
    optimizer = {"name": "sgd", "learning_rate": 0.1, "schedule": schedule}
    apart = a_training(model=_PLAIN, optimizer=optimizer, updates={"accumulate": 3})
    joined = a_training(model=_PLAIN, optimizer=optimizer, data__batch_size=48)
    _assert_equal(_weights(data, apart, compiler), _weights(data, joined, compiler))


def _assert_equal(ours: Any, theirs: Any) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6), ours, theirs)


def _full_batch(**leaves: Any) -> Training:
    return a_training(
        model={"name": "mlp", "widths": [], "init": "zeros"},
        data__batch_size=96,
        train={"epochs": 800},
        **leaves,
    )


def test_a_linear_classifier_converges_to_scikit_learns_logistic_regression(
    compiler: Compiler,
) -> None:
    data, decay = tiny_data(), 0.05
    optimizer = {"name": "sgd", "learning_rate": 0.5, "momentum": 0.9, "weight_decay": decay}
    head = _weights(data, _full_batch(optimizer=optimizer), compiler)["head"]
    # Our decay applies to the bias too. In scikit-learn, that is the weight of a constant feature.
    x = np.hstack([data.train.x, np.ones((96, 1), np.float32)])
    model = LogisticRegression(C=1 / (96 * decay), fit_intercept=False, tol=1e-8, max_iter=10_000)
    model.fit(x, data.train.y)
    ours = np.vstack([head["kernel"], head["bias"]])
    np.testing.assert_allclose(ours, model.coef_.T, atol=1e-3)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_a_linear_regression_converges_to_scikit_learns_ridge(
    line: DataSet, compiler: Compiler, is_weighted: bool
) -> None:
    rng, decay = np.random.default_rng(3), 0.05
    x, weights = line.train.x, rng.uniform(0, 2, 96).astype(np.float32)
    weights /= weights.mean()
    y = (line.train.y + 0.3 * rng.standard_normal(96)).astype(np.float32)
    arrays = {"x": x, "y": y, **({"weight": weights} if is_weighted else {})}
    data = DataSet("regression", Split(arrays), line.validation, None, 1, "l")
    optimizer = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": decay}
    head = _weights(data, _full_batch(optimizer=optimizer), compiler)["head"]
    constant = np.hstack([x, np.ones((96, 1), np.float32)])
    model = Ridge(alpha=96 * decay / 2, fit_intercept=False)
    model.fit(constant, y, sample_weight=weights if is_weighted else None)
    np.testing.assert_allclose(
        np.append(head["kernel"][:, 0], head["bias"]), model.coef_, atol=1e-3
    )


def test_on_standardised_data_it_is_ridge_as_one_calls_it(
    line: DataSet, compiler: Compiler
) -> None:
    rng, decay = np.random.default_rng(3), 0.05
    x = StandardScaler().fit_transform(line.train.x).astype(np.float32)
    y = line.train.y + 0.3 * rng.standard_normal(96)
    y = ((y - y.mean()) / y.std()).astype(np.float32)
    data = DataSet("regression", Split({"x": x, "y": y}), line.validation, None, 1, "s")
    optimizer = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": decay}
    head = _weights(data, _full_batch(optimizer=optimizer), compiler)["head"]
    model = Ridge(alpha=96 * decay / 2).fit(x, y)
    np.testing.assert_allclose(head["kernel"][:, 0], model.coef_, atol=1e-3)
    np.testing.assert_allclose(head["bias"], model.intercept_, atol=1e-5)


def test_rows_of_weight_zero_have_no_effect(learn: Learn, line: DataSet) -> None:
    kept = Split({name: array[:48] for name, array in line.train.arrays.items()})
    other = Split({name: array[:48] for name, array in line.train.arrays.items()})
    weights = np.repeat(np.array([2.0, 0.0], np.float32), 48)
    spoilt = {**line.train.arrays, "y": np.append(line.train.y[:48], 50 * np.ones(48, np.float32))}
    data = DataSet("regression", Split({**spoilt, "weight": weights}), other, None, 1, "w")
    alone = DataSet("regression", kept, other, None, 1, "a")
    optimizer = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.0}
    leaves: dict[str, Any] = {"optimizer": optimizer, "model": _PLAIN}
    (whole,) = learn(data, [a_training(**leaves, data__batch_size=96)]).values()
    (half,) = learn(alone, [a_training(**leaves, data__batch_size=48)]).values()
    for ours, theirs in zip(whole, half, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
