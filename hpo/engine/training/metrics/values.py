"""Metrics of quantities, from the predictions for all rows.

A function takes the predictions `[N, K]` in the targets' units, the targets `[N]` (`[N, K]` for
several), and the row weights `[N]` or None. Of several targets, a metric is the mean of theirs.
"""

from __future__ import annotations

import numpy as np

# The smallest target that scikit-learn divides by.
_EPSILON = float(np.finfo(np.float64).eps)


def mse(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`mse`: the mean squared error, in the square of the target's unit."""
    errors = np.square(predictions - y.reshape(predictions.shape))
    return float(np.average(errors, axis=0, weights=weights).mean())


def mape(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`mape`: the mean error as a share of the target, 0.1 for ten per cent."""
    true = y.reshape(predictions.shape)
    errors = np.abs(predictions - true) / np.maximum(np.abs(true), _EPSILON)
    return float(np.average(errors, axis=0, weights=weights).mean())


def pinball10(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`pinball10`: the pinball loss of the tenth percentile, in the target's unit."""
    return _pinball(0.1, predictions, y, weights)


def pinball50(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`pinball50`: the pinball loss of the median, half the mean absolute error."""
    return _pinball(0.5, predictions, y, weights)


def pinball90(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`pinball90`: the pinball loss of the ninetieth percentile, in the target's unit."""
    return _pinball(0.9, predictions, y, weights)


def _pinball(
    quantile: float, predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None
) -> float:
    errors = y.reshape(predictions.shape) - predictions
    losses = np.maximum(quantile * errors, (quantile - 1) * errors)
    return float(np.average(losses, axis=0, weights=weights).mean())
