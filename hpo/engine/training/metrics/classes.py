"""Metrics of classes and labels, from the predictions for all rows.

A function takes the probabilities `[N, K]`, the targets `[N]` (`[N, K]` for labels), and the row
weights `[N]` or None.
"""

from __future__ import annotations

import math

import numpy as np

# The smallest chance that scikit-learn takes the log of.
_EPSILON = float(np.finfo(np.float64).eps)
# Of the calibration error.
BINS = 15


def auroc(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`auroc`: the area under the receiver operating characteristic.

    With more than two classes, it is the mean over each class against the rest; with labels, the
    mean over the labels. It is NaN if a class has no rows.
    """
    from sklearn.metrics import roc_auc_score  # takes most of a second to import

    if y.ndim == 2:
        counted = y if weights is None else y[weights > 0]
        if (counted == counted[0]).all(0).any():
            return math.nan
        return float(roc_auc_score(y, predictions, sample_weight=weights))
    classes = predictions.shape[1]
    if len(np.unique(y if weights is None else y[weights > 0])) < classes:
        return math.nan
    if classes == 2:
        return float(roc_auc_score(y, predictions[:, 1], sample_weight=weights))
    return float(roc_auc_score(y, predictions, multi_class="ovr", sample_weight=weights))


def top3_accuracy(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`top3_accuracy`: how often the class is among the three most likely ones."""
    return _top_accuracy(3, predictions, y, weights)


def top5_accuracy(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`top5_accuracy`: how often the class is among the five most likely ones."""
    return _top_accuracy(5, predictions, y, weights)


def _top_accuracy(
    most: int, predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None
) -> float:
    own = predictions[np.arange(len(y)), y][:, None]
    # Of equally likely classes the last one comes first, as in scikit-learn.
    is_later = np.arange(predictions.shape[1]) > y[:, None]
    before = (predictions > own) | ((predictions == own) & is_later)
    return float(np.average(before.sum(1) < most, weights=weights))


def log_loss(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`log_loss`: the cross-entropy in nats, whatever loss is trained."""
    chances = np.clip(predictions[np.arange(len(y)), y], _EPSILON, 1 - _EPSILON)
    return float(np.average(-np.log(chances), weights=weights))


def calibration_error(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`calibration_error`: how far the chance of the likeliest class is from how often it is right.

    The rows are in 15 bins of that chance, of equal width; the mean is over the rows of all bins.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks" (arXiv:1706.04599),
    Equation 3, with the 15 bins of its Section 5.
    """
    weights = np.ones(len(y)) if weights is None else weights.astype(np.float64)
    chances, is_right = predictions.max(1), predictions.argmax(1) == y
    # A bin holds its upper border, as in the paper.
    bins = np.searchsorted(np.arange(1, BINS) / BINS, chances, side="left")
    excess = np.bincount(bins, weights * (chances - is_right), minlength=BINS)
    return float(np.abs(excess).sum() / weights.sum())


def macro_f1(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`macro_f1`: the mean of the classes' F1, of those that are in the targets or predicted.

    With labels, it is the mean over the labels, of which those above a half are predicted.
    """
    if y.ndim == 2:
        found, true, labels = predictions > 0.5, y > 0.5, np.arange(y.shape[1])
    else:
        labels = np.union1d(y, predictions.argmax(1))
        found, true = predictions.argmax(1)[:, None] == labels, y[:, None] == labels
    weights = np.ones(len(y)) if weights is None else weights
    hits, both = weights @ (found & true), weights @ found + weights @ true
    return float(np.divide(2 * hits, both, out=np.zeros(len(labels)), where=both > 0).mean())


def f1(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`f1`: the F1 of the second of two classes, or the mean over the labels.

    With more classes it is NaN.
    """
    if y.ndim == 2:
        return macro_f1(predictions, y, weights)
    if predictions.shape[1] != 2:
        return math.nan
    found, true = predictions.argmax(1) == 1, y == 1
    weights = np.ones(len(y)) if weights is None else weights
    both = float(weights @ found + weights @ true)
    return float(2 * (weights @ (found & true)) / both) if both else 0.0


def average_precision(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`average_precision`: the area under the precision-recall curve, as a sum of steps.

    With more than two classes, it is the mean over each class against the rest; with labels, the
    mean over the labels. It is NaN if a class has no rows.
    """
    weights = np.ones(len(y)) if weights is None else weights
    if y.ndim == 2:
        columns = [(predictions[:, k], y[:, k]) for k in range(y.shape[1])]
    else:
        classes = (1,) if predictions.shape[1] == 2 else range(predictions.shape[1])
        columns = [(predictions[:, k], y == k) for k in classes]
    return float(np.mean([_precision(scores, hits, weights) for scores, hits in columns]))


def _precision(scores: np.ndarray, is_positive: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    found = np.cumsum((weights * is_positive)[order])[ends]
    drawn = np.cumsum(weights[order])[ends]
    if found[-1] == 0:
        return math.nan
    precision = np.divide(found, drawn, out=np.zeros(len(ends)), where=drawn > 0)
    return float((np.diff(found, prepend=0.0) * precision).sum() / found[-1])
