"""Losses, against other libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
import pytest
import sklearn.metrics
from scipy.special import gammaln, softmax
from scipy.stats import poisson

from hpo.engine.program import split
from hpo.engine.training.targets.sums import (
    loss_rows,
)
from hpo.registry import LOSSES
from tests.engine.samples import (
    Learn,
    a_training,
    tiny_data,
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


def test_the_loss_of_a_task_trains_to_the_same_bits_when_it_is_named(learn: Learn) -> None:
    plain = learn(tiny_data(), [a_training()])
    for loss in ({"name": "cross_entropy"}, {"name": "focal", "gamma": 0.0}):
        assert learn(tiny_data(), [a_training(loss=loss)]) == plain


def test_a_number_of_a_loss_that_varies_and_is_0_changes_no_bit(learn: Learn) -> None:
    train = {"epochs": 4, "varying": ["loss.smoothing"]}
    varied = a_training(loss={"name": "cross_entropy"}, train=train)
    assert "loss.smoothing" in split(varied, tiny_data(), "cpu")[0].knobs
    assert learn(tiny_data(), [varied]) == learn(tiny_data(), [a_training()])
