"""Scaling of targets that are quantities: to deviations of the training split, or to a range."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpo.data.source import Source
from hpo.errors import DataError

# The square of a smaller deviation is 0 to float64, or has lost most of its digits.
_LEAST_DEVIATION = 1e-150
_ROUNDING = 1e-6  # of a few operations in float32


def target_scale(train: Source, target_range: tuple[float, float] | None) -> dict[str, Any]:
    """What is subtracted from the targets and their divisor; a constant is not divided.

    They are the mean and the deviation, of several targets those of each. With a `target_range`,
    its ends become 0 and 1. Classes, labels and counts stay as they are.

    Raises:
        DataError: for a target that hardly varies, or a range of what is no quantity.
    """
    is_plain = bool(train.classes) or train.is_count or train.is_multilabel
    if target_range is not None:
        if is_plain:
            raise DataError(
                f"data.target_range: {train.target} holds no quantities: remove it, or write "
                "task: regression in data.dataset."
            )
        low, high = target_range
        return {"target_mean": np.array(low), "target_std": np.array(high - low)}
    if is_plain:
        return {}
    y = train.y
    scales = [_mean_of_target(column, train.target) for column in (y.T if y.ndim > 1 else y[None])]
    mean, std = (np.array(each, np.float64) for each in zip(*scales, strict=True))
    return {
        "target_mean": mean if y.ndim > 1 else mean[0, ...],
        "target_std": std if y.ndim > 1 else std[0, ...],
    }


def check_range(source: Source, target_range: tuple[float, float]) -> None:
    """Refuse targets outside the range.

    Raises:
        DataError: which names the first of them.
    """
    low, high = target_range
    outside = source.y[(source.y < low) | (source.y > high)]
    if len(outside):
        raise DataError(
            f"{source.target}: {outside[0]:g} is not between {low:g} and {high:g}: widen "
            "data.target_range, or remove the row."
        )


def in_target_range(values: np.ndarray, target_range: tuple[float, float]) -> np.ndarray:
    """Values in the unit of the targets; rounding takes none between 0 and 1 out of the range."""
    low, high = target_range
    found = low + values * (high - low)
    # A mean of members or folds may have left it by rounding.
    is_within = (values > -_ROUNDING) & (values < 1 + _ROUNDING)
    return np.where(is_within, np.clip(found, low, high), found)


def _mean_of_target(y: np.ndarray, name: str) -> tuple[float, float]:
    mean, std = (y[0], 1.0) if y.min() == y.max() else (y.mean(), y.std())
    if std < _LEAST_DEVIATION:
        raise DataError(
            f"{name}: its values differ by {np.ptp(y):g} at most, too little for a "
            "deviation: write them in a smaller unit."
        )
    return float(mean), float(std)
