"""Losses and metrics, against other libraries; and splits in chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, gammaln, softmax
from scipy.stats import poisson

from hpo.data.dataset import DataSet, Split
from hpo.data.transforms.transform import FittedTransform
from hpo.engine.program import split
from hpo.engine.training.batches import host_rows
from hpo.engine.training.supervised import Supervised, initial_lane
from hpo.engine.training.targets import (
    batch_loss,
    check_loss,
    loss_rows,
    metric_sums,
    metrics,
    sum_count,
)
from hpo.engine.training.weights import parted
from hpo.errors import HpoError
from hpo.registry import LOSSES
from hpo.trial import is_finite
from tests.engine.samples import ROWS, Learn, a_split, a_training, tiny_data

_MEAN, _STD = 100.0, 7.0


def _sums(data: DataSet, outputs: np.ndarray, part: Split) -> np.ndarray:
    batch = {"weight": np.ones(len(part), np.float32), **part.arrays}
    return np.asarray(metric_sums(data.task, outputs, batch, None))


def _metrics(data: DataSet, outputs: np.ndarray, part: Split) -> dict[str, float]:
    return metrics(data, part, _sums(data, outputs, part), None)


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


def test_the_metrics_of_a_classification_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    part = a_split(rng, 50, (5,))
    data = DataSet("classification", part, part, None, 3, "c")
    outputs = rng.standard_normal((50, 3)).astype(np.float32)
    odds = np.exp(outputs.astype(np.float64))
    probabilities = odds / odds.sum(1, keepdims=True)
    assert _metrics(data, outputs, part) == pytest.approx(
        {
            "loss": sklearn.metrics.log_loss(part.y, probabilities),
            "accuracy": sklearn.metrics.accuracy_score(part.y, outputs.argmax(1)),
        },
        rel=1e-5,
    )


def test_the_metrics_of_a_regression_are_those_of_scikit_learn_in_the_targets_unit() -> None:
    data, outputs = _regression(50)
    part = data.validation
    true, predicted = (_MEAN + _STD * a.astype(np.float64) for a in (part.y, outputs[:, 0]))
    assert _metrics(data, outputs, part) == pytest.approx(
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
    values = _metrics(data, np.zeros((4, 1), np.float32), part)
    assert np.isnan(values["r2"])
    assert values["rmse"] == pytest.approx(_STD)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_diverged_lane_has_a_loss_that_is_not_finite(task: str, value: float) -> None:
    data, _ = _regression(4)
    part = Split({"x": data.validation.x, "y": np.zeros(4, np.int32)})
    width = 2 if task == "classification" else 1
    data = DataSet(task, part, part, None, width, "d")  # type: ignore[arg-type]
    outputs = np.full((4, width), value, np.float32)
    values = _metrics(data, outputs, part)
    assert not np.isfinite(values["loss"])
    assert not is_finite(values)


def _weighted(part: Split) -> Split:
    weights = np.random.default_rng(7).uniform(0, 3, len(part)).astype(np.float32)
    return Split({**part.arrays, "weight": weights})


def test_rows_count_by_their_weights_in_a_classification_as_in_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    part = _weighted(a_split(rng, 50, (5,)))
    data = DataSet("classification", part, part, None, 3, "c")
    outputs = rng.standard_normal((50, 3)).astype(np.float32)
    probabilities = softmax(outputs.astype(np.float64), axis=1)
    weights = part.arrays["weight"]
    assert _metrics(data, outputs, part) == pytest.approx(
        {
            "loss": sklearn.metrics.log_loss(part.y, probabilities, sample_weight=weights),
            "accuracy": sklearn.metrics.accuracy_score(
                part.y, outputs.argmax(1), sample_weight=weights
            ),
        },
        rel=1e-5,
    )
    losses = -np.log(probabilities[np.arange(50), part.y])
    mean = batch_loss("classification", outputs, part.arrays, None)
    assert float(mean) == pytest.approx((losses * weights).mean(), rel=1e-5)


def test_rows_count_by_their_weights_in_a_regression_as_in_scikit_learn() -> None:
    data, outputs = _regression(50)
    part = _weighted(data.validation)
    weights = part.arrays["weight"]
    true, predicted = (_MEAN + _STD * a.astype(np.float64) for a in (part.y, outputs[:, 0]))
    found = _metrics(data, outputs, part)
    _has_scores(found, true, predicted, weights)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_metrics_of_counts_are_those_of_scikit_learn(is_weighted: bool) -> None:
    rng = np.random.default_rng(0)
    y = rng.poisson(2.0, 60).astype(np.float32)
    part = Split({"x": np.zeros((60, 1), np.float32), "y": y})
    part = _weighted(part) if is_weighted else part
    weights = part.arrays.get("weight")
    data = DataSet("counts", part, part, None, 1, "n")
    outputs = rng.standard_normal((60, 1)).astype(np.float32)
    rates = np.exp(outputs[:, 0].astype(np.float64))
    found = _metrics(data, outputs, part)
    scores = {
        "deviance": sklearn.metrics.mean_poisson_deviance,
        "rmse": sklearn.metrics.root_mean_squared_error,
        "mae": sklearn.metrics.mean_absolute_error,
    }
    for name, score in scores.items():
        assert found[name] == pytest.approx(score(y, rates, sample_weight=weights), rel=1e-4)
    likelihood = poisson.logpmf(y, rates) + gammaln(y + 1)
    assert found["loss"] == pytest.approx(-np.average(likelihood, weights=weights), rel=1e-5)
    assert len(_sums(data, outputs, part)) == 3


@given(size=st.integers(1, 3000) | st.sampled_from([511, 512, 513, 1023, 1024, 1025]))
def test_chunks_hold_every_row_in_order_and_little_padding(size: int) -> None:
    x = np.arange(2.0 * size, dtype=np.float32).reshape(size, 2)
    part = Split({"x": x, "y": np.arange(size)})
    rows = host_rows(part)
    chunks, length = rows["y"].shape
    counted = rows["weight"].reshape(-1) == 1
    np.testing.assert_array_equal(rows["x"].reshape(-1, 2)[counted], part.x)
    np.testing.assert_array_equal(rows["y"].reshape(-1)[counted], part.y)
    assert rows["weight"].sum() == size
    assert length <= 512
    assert chunks * length - size < chunks


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


@pytest.mark.parametrize("size", [1, 511, 513, 1025])
def test_an_evaluation_in_chunks_is_that_of_the_whole_split(size: int) -> None:
    rng = np.random.default_rng(0)
    train, validation = a_split(rng, ROWS, (5,)), a_split(rng, size, (5,))
    data = DataSet("classification", train, validation, None, 3, "t")
    training = a_training(model={"name": "mlp", "widths": [4]})
    program, knobs = split(training, data, "cpu")
    lane = initial_lane(program, training)
    tally = jax.jit(Supervised(program).evaluate)(knobs, lane, host_rows(validation))

    weights = parted(program, lane.params)
    hidden = np.maximum(validation.x @ weights["linears"][0]["kernel"], 0)
    odds = np.exp(hidden @ weights["head"]["kernel"])  # biases start at 0
    probabilities = odds / odds.sum(1, keepdims=True)
    expected = sklearn.metrics.log_loss(validation.y, probabilities, labels=[0, 1, 2])
    assert metrics(data, validation, np.asarray(tally.sums), None) == pytest.approx(
        {"loss": expected, "accuracy": (odds.argmax(1) == validation.y).mean()}, rel=1e-4
    )


def _smoothed(outputs: np.ndarray, y: np.ndarray) -> Any:
    targets = optax.smooth_labels(jax.nn.one_hot(y, 3), 0.2)
    return optax.losses.softmax_cross_entropy(outputs, targets)


def _focal(outputs: np.ndarray, y: np.ndarray) -> Any:
    chance = softmax(outputs.astype(np.float64), axis=1)[np.arange(len(y)), y]
    return -((1 - chance) ** 1.5) * np.log(chance)


# For each loss of hpo: its numbers, and its rows by somebody else.
ORACLES: dict[str, tuple[dict[str, float], Callable[..., Any]]] = {
    "cross_entropy": ({"smoothing": 0.2}, _smoothed),
    "focal": ({"gamma": 1.5}, _focal),
    "mse": ({}, lambda outputs, y: optax.losses.squared_error(outputs[:, 0], y)),
    "mae": ({}, lambda outputs, y: np.abs(outputs[:, 0] - y)),
    "huber": (
        {"delta": 0.7},
        lambda outputs, y: optax.losses.huber_loss(outputs[:, 0], y, delta=0.7),
    ),
    "pinball": (
        {"quantile": 0.9},
        lambda outputs, y: [
            sklearn.metrics.mean_pinball_loss([true], [made], alpha=0.9)
            for true, made in zip(y, outputs[:, 0], strict=True)
        ],
    ),
    "poisson": ({}, lambda outputs, y: -poisson.logpmf(y, np.exp(outputs[:, 0])) - gammaln(y + 1)),
}


def a_named_loss(name: str, **numbers: float) -> Any:
    return a_training(loss={"name": name, **numbers}).loss


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_and_its_gradient_are_those_of_other_libraries(name: str) -> None:
    rng, (numbers, oracle) = np.random.default_rng(0), ORACLES[name]
    is_classes = "classification" in LOSSES[name].tasks
    outputs = rng.standard_normal((40, 3 if is_classes else 1)).astype(np.float32)
    whole = rng.integers(0, 3, 40)
    y = whole.astype(np.int32 if is_classes else np.float32)
    if name in ("huber", "pinball", "mse", "mae"):
        y = y + rng.standard_normal(40).astype(np.float32)
    loss = a_named_loss(name, **numbers)

    rows = loss_rows(loss, outputs, {"y": y})
    gradient = jax.grad(lambda x: loss_rows(loss, x, {"y": y}).sum())(outputs)

    np.testing.assert_allclose(rows, oracle(outputs, y), rtol=2e-5, atol=1e-6)
    step = 1e-3 * rng.standard_normal(outputs.shape)
    changes = np.subtract(oracle(outputs + step, y), oracle(outputs - step, y))
    # A row whose step passes a kink has no gradient.
    close = np.isclose((2 * step * gradient).sum(1), changes, rtol=0.02, atol=1e-5)
    assert close.mean() > 0.9


def test_the_focal_loss_of_a_sure_row_has_a_finite_gradient_for_any_gamma() -> None:
    outputs = np.array([[200.0, 0.0, 0.0], [0.0, 200.0, 0.0]], np.float32)
    y = np.zeros(2, np.int32)
    for gamma in (0.1, 0.9, 3.0):
        loss = a_named_loss("focal", gamma=gamma)
        rows, gradient = jax.value_and_grad(lambda x: loss_rows(loss, x, {"y": y}).sum())(outputs)  # noqa: B023
        assert float(rows) == pytest.approx(200)
        assert np.isfinite(gradient).all()


def test_the_loss_of_a_task_trains_to_the_same_bits_when_it_is_named(learn: Learn) -> None:
    plain = learn(tiny_data(), [a_training()])
    for loss in ({"name": "cross_entropy"}, {"name": "focal", "gamma": 0.0}):
        assert learn(tiny_data(), [a_training(loss=loss)]) == plain


def test_a_number_of_a_loss_that_varies_and_is_0_changes_no_bit(learn: Learn) -> None:
    train = {"epochs": 4, "varying": ["loss.smoothing"]}
    varied = a_training(loss={"name": "cross_entropy"}, train=train)
    assert "loss.smoothing" in split(varied, tiny_data(), "cpu")[0].knobs
    assert learn(tiny_data(), [varied]) == learn(tiny_data(), [a_training()])


def test_a_loss_for_another_task_is_refused_once_the_data_are_known() -> None:
    program, _ = split(a_training(loss={"name": "pinball"}), tiny_data(), "cpu")
    with pytest.raises(HpoError, match=r"pinball is not a loss of classification: write one of c"):
        check_loss(program)


def test_a_program_says_which_loss_it_has() -> None:
    program, _ = split(a_training(loss={"name": "focal"}), tiny_data(), "cpu")
    assert "loss focal" in str(program)


def _several(rows: int, is_weighted: bool) -> tuple[DataSet, np.ndarray]:
    """A regression with three targets in units of their own, and predictions for it."""
    rng = np.random.default_rng(5)
    y = rng.standard_normal((rows, 3)).astype(np.float32)
    part = Split({"x": np.zeros((rows, 1), np.float32), "y": y})
    part = _weighted(part) if is_weighted else part
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
    found = _metrics(data, outputs, part)
    _has_scores(found, true, predicted, weights)
    expected = sklearn.metrics.mean_squared_error(part.y, outputs, sample_weight=weights)
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    assert len(_sums(data, outputs, part)) == sum_count("regression", 3, None)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_metrics_of_labels_are_those_of_scikit_learn(is_weighted: bool) -> None:
    rng = np.random.default_rng(0)
    y = (rng.random((60, 4)) < 0.4).astype(np.float32)
    part = Split({"x": np.zeros((60, 1), np.float32), "y": y})
    part = _weighted(part) if is_weighted else part
    weights = part.arrays.get("weight")
    data = DataSet("multilabel", part, part, None, 4, "l")
    outputs = (4 * y - 2 + rng.standard_normal((60, 4))).astype(np.float32)
    chances = expit(outputs.astype(np.float64))
    found = _metrics(data, outputs, part)
    entropies = [
        sklearn.metrics.log_loss(y[:, k], chances[:, k], sample_weight=weights) for k in range(4)
    ]
    assert found == pytest.approx(
        {
            "loss": np.mean(entropies),
            "accuracy": sklearn.metrics.accuracy_score(y, chances > 0.5, sample_weight=weights),
        },
        rel=1e-5,
    )


@pytest.mark.parametrize(
    ("name", "numbers", "oracle"),
    [
        (
            "cross_entropy",
            {"smoothing": 0.2},
            lambda z, y: optax.sigmoid_binary_cross_entropy(z, 0.8 * y + 0.1),
        ),
        ("focal", {"gamma": 1.5}, lambda z, y: optax.sigmoid_focal_loss(z, y, gamma=1.5)),
        ("focal", {"gamma": 0.0}, optax.sigmoid_binary_cross_entropy),
        ("huber", {"delta": 0.7}, lambda z, y: optax.losses.huber_loss(z, y, delta=0.7)),
        ("mae", {}, lambda z, y: np.abs(z - y)),
    ],
)
def test_a_loss_of_several_targets_is_the_mean_of_those_of_each(
    name: str, numbers: dict[str, float], oracle: Callable[..., Any]
) -> None:
    rng = np.random.default_rng(0)
    outputs = rng.standard_normal((30, 4)).astype(np.float32)
    y = (rng.random((30, 4)) < 0.5).astype(np.float32)
    rows = loss_rows(a_named_loss(name, **numbers), outputs, {"y": y})
    np.testing.assert_allclose(rows, np.mean(oracle(outputs, y), axis=1), rtol=2e-5)


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
