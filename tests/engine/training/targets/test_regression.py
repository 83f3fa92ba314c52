"""Quantities, one and several, against scikit-learn."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from hpo.data.dataset import DataSet, Split
from hpo.data.transforms.transform import FittedTransform
from hpo.engine.training.targets.sums import (
    metric_sums,
    sum_count,
    targets_of,
)
from hpo.trial import is_finite
from tests.engine.models.by_hand import NO_DROPOUT, a_model
from tests.engine.samples import (
    Learn,
    a_training,
    metrics_of,
    sums_of,
    weighted,
)

_MEAN, _STD = 100.0, 7.0


def _has_scores(
    found: dict[str, float], true: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None
) -> None:
    """The metrics of a regression are those of scikit-learn."""
    for name, score in {
        "rmse": sklearn.metrics.root_mean_squared_error,
        "mae": sklearn.metrics.mean_absolute_error,
        "r2": sklearn.metrics.r2_score,
    }.items():
        expected = score(true, predicted, sample_weight=weights)
        assert found[name] == pytest.approx(expected, rel=1e-5)


def _regression(rows: int, seed: int = 0) -> tuple[DataSet, np.ndarray]:
    """A data set whose validation split is standardised, and predictions for it."""
    rng = np.random.default_rng(seed)
    x, y = np.zeros((rows, 1), np.float32), rng.standard_normal(rows).astype(np.float32)
    part = Split({"x": x, "y": y})
    outputs = (part.y + 0.5 * rng.standard_normal(rows)).astype(np.float32)[:, None]
    scale = FittedTransform(target_mean=np.array(_MEAN), target_std=np.array(_STD))
    return DataSet("regression", part, part, None, 1, "r", transform=scale), outputs


@pytest.mark.parametrize("output", ["sigmoid", "tanh"])
@pytest.mark.parametrize("name", ["mlp", "fourier", "realmlp"])
def test_no_prediction_of_a_bounded_output_leaves_the_range_and_metrics_are_in_its_unit(
    name: str, output: str
) -> None:
    low, high = 0.1, 0.3  # 0.1 + (0.3 - 0.1) is above 0.3
    rng = np.random.default_rng(0)
    y = rng.random(40).astype(np.float32)
    part = Split({"x": rng.standard_normal((40, 3)).astype(np.float32), "y": y})
    fit = FittedTransform(
        target_mean=np.array(low),
        target_std=np.array(high - low),
        more={"target_range": np.array([low, high])},
    )
    data = DataSet("regression", part, part, None, 1, "b", transform=fit)
    bounded, plain = (
        a_model(data, name=name, **({"output": one} if one else {})) for one in (output, None)
    )
    x = np.concatenate([part.x, 1e6 * part.x])  # as sure as can be
    outputs, by_hand = bounded.outputs(x)[0], np.asarray(plain.outputs(x)[0], np.float64)
    assert outputs.dtype == np.float32
    expected = {"sigmoid": expit(by_hand), "tanh": expit(2 * by_hand)}[output]
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    predicted = targets_of("regression", 1).predictions(np.asarray(outputs, np.float64), data)
    assert predicted.min() >= low
    assert predicted.max() <= high
    true = low + (high - low) * y.astype(np.float64)
    found = metrics_of(data, np.asarray(outputs[:40]), part)
    _has_scores(found, true, predicted[:40, 0], None)


def test_each_member_of_tabm_has_a_bounded_output() -> None:
    data, _ = _regression(8)
    found = []
    for output in ("tanh", "linear"):
        model = a_model(data, name="tabm", widths=[4], members=3, output=output)
        network = nnx.merge(model.graph, model.params, model.statistics)
        x = jnp.asarray(data.validation.x)
        found.append(network(x, model.spec, train=False, dropout=NO_DROPOUT).outputs)
    by_hand = expit(2 * np.asarray(found[1], np.float64))
    np.testing.assert_allclose(found[0], by_hand, atol=1e-5)


def test_a_bounded_output_keeps_float32_where_models_compute_in_bfloat16() -> None:
    data, _ = _regression(8)
    model = a_model(data, "bfloat16", name="mlp", output="sigmoid")
    assert model.outputs(data.validation.x.astype(jnp.bfloat16))[0].dtype == jnp.float32


def test_the_metrics_of_a_regression_are_those_of_scikit_learn_in_the_targets_unit() -> None:
    data, outputs = _regression(50)
    part = data.validation
    true, predicted = (_MEAN + _STD * a.astype(np.float64) for a in (part.y, outputs[:, 0]))
    assert metrics_of(data, outputs, part) == pytest.approx(
        {
            "loss": sklearn.metrics.mean_squared_error(true, predicted) / _STD**2,
            "rmse": sklearn.metrics.root_mean_squared_error(true, predicted),
            "mae": sklearn.metrics.mean_absolute_error(true, predicted),
            "r2": sklearn.metrics.r2_score(true, predicted),
        },
        rel=1e-4,
    )


def test_r2_is_not_a_number_where_all_targets_are_the_same() -> None:
    data, _ = _regression(4)
    part = Split({"x": data.validation.x, "y": np.ones(4, np.float32)})
    values = metrics_of(data, np.zeros((4, 1), np.float32), part)
    assert np.isnan(values["r2"])
    assert values["rmse"] == pytest.approx(_STD)


def test_rows_count_by_their_weights_in_a_regression_as_in_scikit_learn() -> None:
    data, outputs = _regression(50)
    part = weighted(data.validation)
    weights = part.arrays["weight"]
    true, predicted = (_MEAN + _STD * a.astype(np.float64) for a in (part.y, outputs[:, 0]))
    found = metrics_of(data, outputs, part)
    _has_scores(found, true, predicted, weights)


def _several(rows: int, is_weighted: bool) -> tuple[DataSet, np.ndarray]:
    """A regression with three targets in units of their own, and predictions for it."""
    rng = np.random.default_rng(5)
    y = rng.standard_normal((rows, 3)).astype(np.float32)
    part = Split({"x": np.zeros((rows, 1), np.float32), "y": y})
    part = weighted(part) if is_weighted else part
    outputs = (y + rng.standard_normal((rows, 3)) * [0.1, 0.5, 1]).astype(np.float32)
    scale = FittedTransform(
        target_mean=np.array([5.0, 0.0, -3.0]), target_std=np.array([1.0, 20.0, 0.3])
    )
    return DataSet("regression", part, part, None, 3, "s", transform=scale), outputs


@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_metrics_of_several_targets_are_the_means_of_scikit_learn(is_weighted: bool) -> None:
    data, outputs = _several(50, is_weighted)
    part = data.validation
    weights = part.arrays.get("weight")
    true, predicted = (
        a.astype(np.float64) * data.target_std + data.target_mean for a in (part.y, outputs)
    )
    found = metrics_of(data, outputs, part)
    _has_scores(found, true, predicted, weights)
    expected = sklearn.metrics.mean_squared_error(part.y, outputs, sample_weight=weights)
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    assert len(sums_of(data, outputs, part)) == sum_count("regression", 3, None)


@pytest.mark.parametrize(
    ("task", "name", "least"), [("regression", "r2", 0.6), ("multilabel", "accuracy", 0.6)]
)
def test_a_model_learns_several_targets_at_once(
    learn: Learn, task: Any, name: str, least: float
) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 5)).astype(np.float32)
    y = x[:, :2] if task == "regression" else (x[:, :2] > 0).astype(np.float32)
    train, validation = (
        Split({"x": x[rows], "y": y[rows]}) for rows in (slice(0, 160), slice(160, 200))
    )
    data = DataSet(task, train, validation, None, 2, "m")
    trainings = [a_training(n, train={"epochs": 15, "stream": n}) for n in range(2)]
    found = learn(data, trainings, lanes=2)
    assert all(curve[-1][name] > least for curve in found.values())
    assert learn(data, trainings[1:], lanes=1)[1] == found[1]


@settings(max_examples=10, deadline=None)
@given(padding=st.integers(1, 20), seed=st.integers(0, 100))
def test_padding_rows_weigh_nothing(padding: int, seed: int) -> None:
    data, outputs = _regression(30, seed)
    part, rng = data.validation, np.random.default_rng(seed)
    # Always the same number of rows, so that JAX compiles once.
    weights = (np.arange(30) < 30 - padding).astype(np.float32)
    other = np.where(weights[:, None] > 0, outputs, 100 * rng.standard_normal((30, 1)))
    kept = slice(30 - padding)
    expected = (outputs[kept, 0] - part.y[kept]).astype(np.float64)
    np.testing.assert_allclose(
        metric_sums("regression", other.astype(np.float32), {"y": part.y, "weight": weights}, None),
        [np.square(expected).sum(), np.abs(expected).sum()],
        rtol=1e-4,
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_diverged_lane_has_a_loss_that_is_not_finite(task: str, value: float) -> None:
    data, _ = _regression(4)
    part = Split({"x": data.validation.x, "y": np.zeros(4, np.int32)})
    width = 2 if task == "classification" else 1
    data = DataSet(task, part, part, None, width, "d")  # type: ignore[arg-type]
    outputs = np.full((4, width), value, np.float32)
    values = metrics_of(data, outputs, part)
    assert not np.isfinite(values["loss"])
    assert not is_finite(values)
