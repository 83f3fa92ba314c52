"""Metrics of classes and labels, against scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from hpo import registry
from hpo.engine.training.metrics.classes import auroc, calibration_error


def _pairs(scores: np.ndarray, is_positive: np.ndarray, weights: np.ndarray) -> float:
    """The weighted share of pairs in which the positive row has the higher score."""
    total = right = 0.0
    for i in np.flatnonzero(is_positive):
        for j in np.flatnonzero(~is_positive):
            weight = weights[i] * weights[j]
            total += weight
            right += weight * (float(scores[i] > scores[j]) + 0.5 * float(scores[i] == scores[j]))
    return right / total


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_auroc_is_the_share_of_pairs_in_the_right_order(classes: int, is_weighted: bool) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, 40)
    predictions = softmax(rng.standard_normal((40, classes)).round(1), axis=1)
    weights = rng.uniform(0.1, 2, 40) if is_weighted else np.ones(40)
    each = [_pairs(predictions[:, k], y == k, weights) for k in range(classes)]
    expected = each[1] if classes == 2 else np.mean(each)
    assert auroc(predictions, y, weights if is_weighted else None) == pytest.approx(expected)


def test_auroc_needs_rows_of_every_class() -> None:
    assert math.isnan(auroc(np.full((4, 2), 0.5), np.ones(4, np.int32), None))


def _one_of_two(score: Callable[..., float]) -> Callable[..., float]:
    """A score of scikit-learn, given the chance of the second of two classes alone."""

    def scored(y: np.ndarray, predictions: np.ndarray, **given: Any) -> float:
        return score(y, predictions[:, 1] if predictions.shape[1] == 2 else predictions, **given)

    return scored


def _of_labels(score: Callable[..., float]) -> Callable[..., float]:
    return lambda y, predictions, **given: score(y, predictions.argmax(1), **given)


def _calibration_error(
    y: np.ndarray, predictions: np.ndarray, sample_weight: np.ndarray | None = None
) -> float:
    """Equation 3 of Guo et al. 2017, bin by bin; scikit-learn has none."""
    weights = np.ones(len(y)) if sample_weight is None else sample_weight
    chances, is_right = predictions.max(1), predictions.argmax(1) == y
    error = 0.0
    for bin in range(15):
        rows = (chances > bin / 15) & (chances <= (bin + 1) / 15)
        if (own := weights[rows].sum()) > 0:
            accuracy = (weights * is_right)[rows].sum() / own
            confidence = (weights * chances)[rows].sum() / own
            error += own / weights.sum() * abs(accuracy - confidence)
    return error


def test_the_calibration_error_is_the_gap_of_each_bin_by_its_rows() -> None:
    # Two rows of chance 0.9, one right; two of 0.6, both right: half of 0.4 and half of 0.4.
    chances = np.array([0.9, 0.9, 0.6, 0.6])
    predictions = np.stack([chances, 1 - chances], axis=1)
    assert calibration_error(predictions, np.array([0, 1, 0, 0]), None) == pytest.approx(0.4)
    weights = np.array([1.0, 0.0, 0.0, 0.0])
    assert calibration_error(predictions, np.array([0, 1, 0, 0]), weights) == pytest.approx(0.1)


# What scikit-learn calls each metric that is computed on the host.
ORACLES: dict[str, Callable[..., float]] = {
    "auroc": _one_of_two(partial(sklearn.metrics.roc_auc_score, multi_class="ovr")),
    "average_precision": _one_of_two(sklearn.metrics.average_precision_score),
    "calibration_error": _calibration_error,
    "f1": _of_labels(partial(sklearn.metrics.f1_score, zero_division=0)),
    "log_loss": sklearn.metrics.log_loss,
    "macro_f1": _of_labels(partial(sklearn.metrics.f1_score, average="macro", zero_division=0)),
    "mape": sklearn.metrics.mean_absolute_percentage_error,
    "mse": sklearn.metrics.mean_squared_error,
    "pinball10": partial(sklearn.metrics.mean_pinball_loss, alpha=0.1),
    "pinball50": partial(sklearn.metrics.mean_pinball_loss, alpha=0.5),
    "pinball90": partial(sklearn.metrics.mean_pinball_loss, alpha=0.9),
    "top3_accuracy": partial(sklearn.metrics.top_k_accuracy_score, k=3),
    "top5_accuracy": partial(sklearn.metrics.top_k_accuracy_score, k=5),
}


@pytest.mark.parametrize(
    "name", [name for name, entry in registry.METRICS.items() if entry.function]
)
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(12, 60),
    classes=st.sampled_from([2, 3, 6]),
    digits=st.sampled_from([1, 8]),
    is_weighted=st.booleans(),
)
def test_metrics_are_those_of_scikit_learn(
    name: str, seed: int, rows: int, classes: int, digits: int, is_weighted: bool
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.choice([0.0, 0.5, 1.0, 3.0], rows) if is_weighted else np.ones(rows)
    if "classification" in registry.METRICS[name].tasks:
        classes = max(classes, 6) if name.startswith("top") else 2 if name == "f1" else classes
        y = np.append(np.arange(classes), rng.integers(0, classes, rows - classes))
        weights[:classes] = 1  # each class has a row that counts
        # Rounded, so that rows and classes have ties.
        predictions = softmax(rng.standard_normal((rows, classes)).round(digits), axis=1)
    else:
        y = rng.standard_normal(rows) * 10
        predictions = y[:, None] + rng.standard_normal((rows, 1))
        weights[0] = 1
    given_weights = weights if is_weighted else None

    found = registry.function("metric", name)(predictions, y, given_weights)

    oracle = predictions if y.dtype.kind == "i" else predictions[:, 0]
    assert found == pytest.approx(ORACLES[name](y, oracle, sample_weight=given_weights), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("auroc", sklearn.metrics.roc_auc_score),
        ("average_precision", sklearn.metrics.average_precision_score),
        (
            "f1",
            lambda y, chances, **given: sklearn.metrics.f1_score(
                y, chances > 0.5, average="macro", **given
            ),
        ),
        (
            "macro_f1",
            lambda y, chances, **given: sklearn.metrics.f1_score(
                y, chances > 0.5, average="macro", **given
            ),
        ),
    ],
)
@pytest.mark.parametrize("is_weighted", [False, True])
def test_metrics_of_labels_are_the_means_of_scikit_learn(
    name: str, oracle: Callable[..., float], is_weighted: bool
) -> None:
    rng = np.random.default_rng(2)
    y = (rng.random((60, 4)) < [0.2, 0.5, 0.5, 0.8]).astype(np.float32)
    chances = (0.3 * y + 0.7 * rng.random((60, 4))).round(2)
    weights = rng.uniform(0.1, 2, 60) if is_weighted else None
    found = registry.function("metric", name)(chances, y, weights)
    assert found == pytest.approx(oracle(y, chances, sample_weight=weights), rel=1e-6)
    alike = np.ones_like(y)
    assert math.isnan(auroc(chances, alike, None))
