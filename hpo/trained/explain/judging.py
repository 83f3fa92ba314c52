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


def overlaps(counts: np.ndarray) -> np.ndarray:
    """The intersection over union of each class, `[K]`, from a confusion of pixels.

    NaN for a class that is neither there nor found.
    """
    both, either = counts.diagonal(), counts.sum(0) + counts.sum(1) - counts.diagonal()
    found: np.ndarray = np.full(len(counts), np.nan)
    np.divide(both, either, out=found, where=either > 0)
    return found


def calibration_sums(chances: np.ndarray, y: np.ndarray) -> np.ndarray:
    """From chances `[N, K]`: the rows of each bin of the calibration error, the sum of their
    likeliest chances, and how many of these are right, float64 `[3, bins]`.

    Sums of several pieces of many rows add up.
    """
    likeliest, is_right = chances.max(1), chances.argmax(1) == y
    places = np.searchsorted(np.arange(1, BINS) / BINS, likeliest, side="left")
    return np.stack(
        [np.bincount(places, one, minlength=BINS) for one in (None, likeliest, is_right)]
    )


def calibration_bins(sums: np.ndarray) -> list[Bin]:
    """The bins that hold rows."""
    return [
        Bin(
            place / BINS,
            (place + 1) / BINS,
            int(rows),
            float(chance / rows),
            float(right / rows),
        )
        for place, (rows, chance, right) in enumerate(sums.T)
        if rows
    ]


def error_of_sums(sums: np.ndarray) -> float:
    """The calibration error of all rows; see `calibration_error`."""
    rows, chances, right = sums
    return float(np.abs(chances - right).sum() / rows.sum())


def position_losses(chances: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The cross-entropy in nats of each position, `[...]`, from chances `[..., K]`."""
    own = np.take_along_axis(chances, y[..., None].astype(np.int64), axis=-1)[..., 0]
    found: np.ndarray = 0.0 - np.log(np.maximum(own, _LEAST))  # 0 for a chance of 1, not -0
    return found


def row_losses(task: str, predictions: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How wrong each answer is, `[N]`: the cross-entropy of classes and labels, in nats.

    Of values it is the largest of their errors, in the unit of the targets.
    """
    found: np.ndarray
    if task == "classification":
        found = position_losses(predictions, y)
    elif task == "multilabel":
        right = np.where(y > 0.5, predictions, 1 - predictions)
        found = 0.0 - np.log(np.maximum(right, _LEAST)).sum(1)
    else:
        found = np.abs(predictions - y.reshape(predictions.shape)).max(1)
    return found


def worst_rows(losses: np.ndarray, count: int) -> np.ndarray:
    """The places of the largest losses, the worst one first; NaN is worst of all."""
    return np.argsort(-np.nan_to_num(losses, nan=np.inf), kind="stable")[:count]
