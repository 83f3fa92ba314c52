"""Tables that judge answers: confusion of classes, calibration of chances, and the worst rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpo.engine.training.metrics.classes import BINS

_LEAST = np.finfo(np.float64).tiny


class Bin(NamedTuple):
    """The rows whose likeliest class has a chance between two ends, and how often it is right."""

    low: float
    high: float
    rows: int
    chance: float
    accuracy: float


def confusion(y: np.ndarray, found: np.ndarray, classes: int) -> np.ndarray:
    """How many rows of each class (the rows of the table) got each answer, `[K, K]`."""
    counts = np.bincount(y.astype(np.int64) * classes + found, minlength=classes * classes)
    return counts.reshape(classes, classes)


def calibration_bins(chances: np.ndarray, y: np.ndarray) -> list[Bin]:
    """The bins of the calibration error that hold rows, from chances `[N, K]`."""
    likeliest, is_right = chances.max(1), chances.argmax(1) == y
    places = np.searchsorted(np.arange(1, BINS) / BINS, likeliest, side="left")
    return [
        Bin(
            place / BINS,
            (place + 1) / BINS,
            int((places == place).sum()),
            float(likeliest[places == place].mean()),
            float(is_right[places == place].mean()),
        )
        for place in np.unique(places)
    ]


def row_losses(task: str, predictions: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How wrong each answer is, `[N]`: the cross-entropy of classes and labels, in nats.

    Of values it is the largest of their errors, in the unit of the targets.
    """
    found: np.ndarray
    if task == "classification":
        found = -np.log(np.maximum(predictions[np.arange(len(y)), y], _LEAST))
    elif task == "multilabel":
        right = np.where(y > 0.5, predictions, 1 - predictions)
        found = -np.log(np.maximum(right, _LEAST)).sum(1)
    else:
        found = np.abs(predictions - y.reshape(predictions.shape)).max(1)
    return found


def worst_rows(losses: np.ndarray, count: int) -> np.ndarray:
    """The places of the largest losses, the worst one first; NaN is worst of all."""
    return np.argsort(-np.nan_to_num(losses, nan=np.inf), kind="stable")[:count]
