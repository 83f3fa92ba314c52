"""Encoding and scaling of features and targets, fitted on the training split alone.

Images are scaled by channel, with one mean and deviation (or lowest and highest value) for all
pixels. Numeric columns are scaled one by one, after empty cells are filled with the median. Text
columns follow them, one-hot encoded, after empty cells are filled with the most frequent value. A
text that the training split does not have is zero in every column.

A fit is named arrays and a pure function of them in NumPy, so that it can be stored and applied
anywhere. Tests compare it with scikit-learn, whose import would take seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, Self

import numpy as np

from hpo.data.source import Source
from hpo.errors import DataError

Normalize = Literal["standard", "minmax", "none"]

_IMAGES_AT_ONCE = 1000
# The square of a smaller deviation is 0 to float64, or has lost most of its digits.
_LEAST_DEVIATION = 1e-150


@dataclass(frozen=True, eq=False)
class FittedTransform:
    """Turns the examples of any split into features and targets; by default it changes nothing.

    Fields that are None are for tables alone.
    """

    # Of each channel or kept numeric column, float64.
    offset: np.ndarray = field(default_factory=lambda: np.zeros(()))
    divisor: np.ndarray = field(default_factory=lambda: np.ones(()))
    # Float64 scalars; 0 and 1 for classes.
    target_mean: np.ndarray = field(default_factory=lambda: np.zeros(()))
    target_std: np.ndarray = field(default_factory=lambda: np.ones(()))
    kept: np.ndarray | None = None  # for each numeric column, whether it is a feature
    fill: np.ndarray | None = None  # for each kept column, the value of empty cells, float64
    text_fill: np.ndarray | None = None  # for each text column, the text of empty cells, int32
    text_column: np.ndarray | None = None  # for each one-hot column, its text column
    text_value: np.ndarray | None = None  # for each one-hot column, the text that is a one

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The arrays of the fit by name."""
        named = ((item.name, getattr(self, item.name)) for item in fields(self))
        return {name: array for name, array in named if array is not None}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The fit that has these arrays."""
        return cls(**arrays)

    def apply(self, source: Source) -> np.ndarray:
        """The features of `source`, float32 `[N, ...]`, row after row in memory.

        Raises:
            DataError: if float32 cannot hold a scaled number of a table.
        """
        if self.kept is None or self.fill is None:
            return self._scaled(source.x)
        with np.errstate(over="ignore"):
            numbers = self._scaled(_filled(source.x[:, self.kept], self.fill))
        if not np.isfinite(numbers).all():
            raise DataError(
                f"{source.target}: a column holds numbers too large for float32, or far beyond "
                "its training rows: drop the column, or remove those rows."
            )
        parts = [numbers]
        if source.categories is not None:
            parts.append(self._one_hot(source.categories))
        return np.ascontiguousarray(np.concatenate(parts, axis=1))

    def apply_target(self, source: Source) -> np.ndarray:
        """The targets of `source`: indices of classes unchanged, or standardised float32."""
        if source.classes:
            return source.y
        scaled: np.ndarray = (source.y - self.target_mean) / self.target_std
        return scaled.astype(np.float32)

    def _scaled(self, x: np.ndarray) -> np.ndarray:
        # float64 for tables: a column of time stamps has more digits than float32.
        kind = np.float32 if x.dtype == np.uint8 else np.float64
        scaled: np.ndarray = np.subtract(x, self.offset, dtype=kind)
        np.divide(scaled, self.divisor, out=scaled, dtype=kind)
        return scaled.astype(np.float32, copy=False)

    def _one_hot(self, categories: np.ndarray) -> np.ndarray:
        assert self.text_fill is not None
        filled = np.where(categories < 0, self.text_fill, categories)
        is_one: np.ndarray = filled[:, self.text_column] == self.text_value
        return is_one.astype(np.float32)


def fit_transform(
    train: Source, normalize: Normalize, minmax_range: tuple[float, float] = (0.0, 1.0)
) -> FittedTransform:
    """The transform whose numbers are those of the training split.

    With `minmax`, the lowest and highest training value become the two ends of `minmax_range`.

    Raises:
        DataError: if a table has no value in its training rows, or its target hardly varies.
    """
    target = {} if train.classes or train.is_count else _target_scale(train)
    if train.x.dtype == np.uint8 or train.x.ndim > 2:
        return FittedTransform(**_scale(train.x, normalize, minmax_range), **target)
    kept = ~np.isnan(train.x).all(axis=0)
    x = train.x[:, kept]
    fill = np.nanmedian(x, axis=0) if kept.any() else np.zeros(0)
    texts = np.zeros((len(x), 0), np.int32) if train.categories is None else train.categories
    fitted = FittedTransform(
        **_scale(_filled(x, fill), normalize, minmax_range),
        **target,
        kept=kept,
        fill=fill,
        **_texts(texts),
    )
    if not fitted.apply(train.take(np.zeros(1, np.int64))).shape[1]:
        raise DataError(
            f"{train.target}: no feature has a value in any training row: fill in the cells, or "
            "give another file."
        )
    return fitted


def _filled(x: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """`x` with the empty cells of each column filled."""
    is_empty = np.isnan(x)
    if not is_empty.any():
        return x
    # In the memory order of `x`, on which the last bits of a mean depend.
    filled = x.copy(order="K")
    np.copyto(filled, fill, where=is_empty)
    return filled


def _scale(
    x: np.ndarray, normalize: Normalize, minmax_range: tuple[float, float]
) -> dict[str, np.ndarray]:
    """Offset and divisor for the last axis of `x`; a constant is shifted and not divided."""
    axes = tuple(range(x.ndim - 1))
    low, high = x.min(axis=axes).astype(np.float64), x.max(axis=axes).astype(np.float64)
    if normalize == "none":
        return {"offset": np.zeros_like(low), "divisor": np.ones_like(low)}
    if normalize == "minmax":
        bottom, top = minmax_range
        divisor = np.where(high > low, high - low, 1.0) / (top - bottom)
        return {"offset": low - bottom * divisor, "divisor": divisor}
    mean, std = _mean_and_std(x)
    # Constants are found by their values: the deviation of 0.1, 0.1, ... may round to 1e-17.
    return {
        "offset": np.where(high > low, mean, low),
        "divisor": np.where((high > low) & (std > 0), std, 1.0),
    }


def _mean_and_std(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if x.dtype != np.uint8:
        axes = tuple(range(x.ndim - 1))
        return x.mean(axis=axes, dtype=np.float64), x.std(axis=axes, dtype=np.float64)
    # Sums of whole numbers are exact, and need no float64 copy of all images.
    pixels = x.size // x.shape[-1]
    axes = tuple(range(x.ndim - 1))
    total = x.sum(axis=axes, dtype=np.int64)
    squares = np.zeros_like(total)
    for start in range(0, len(x), _IMAGES_AT_ONCE):
        some = x[start : start + _IMAGES_AT_ONCE]
        squares += np.square(some, dtype=np.int64).sum(axis=axes)
    mean = total / pixels
    return mean, np.sqrt(squares / pixels - mean**2)


def _target_scale(train: Source) -> dict[str, np.ndarray]:
    """Mean and deviation of a regression target; a constant is shifted and not divided."""
    y = train.y
    mean, std = (y[0], 1.0) if y.min() == y.max() else (y.mean(), y.std())
    if std < _LEAST_DEVIATION:
        raise DataError(
            f"{train.target}: its values differ by {np.ptp(y):g} at most, too little for a "
            "deviation: write them in a smaller unit."
        )
    return {"target_mean": np.array(mean, np.float64), "target_std": np.array(std, np.float64)}


def _texts(categories: np.ndarray) -> dict[str, np.ndarray]:
    """The text for empty cells of each text column, and the one-hot columns."""
    fill = np.full(categories.shape[1], -1, np.int32)
    columns, values = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    for column, codes in enumerate(categories.T):
        found, counts = np.unique(codes[codes >= 0], return_counts=True)
        if len(found):  # a column that is empty in every training row is no feature
            fill[column] = found[counts.argmax()]  # the first of equally frequent ones
            columns.append(np.full(len(found), column, np.int32))
            values.append(found)
    return {
        "text_fill": fill,
        "text_column": np.concatenate(columns),
        "text_value": np.concatenate(values),
    }
