"""Encoding and scaling of features, fitted on the training split alone.

Images are scaled by channel, with one mean and deviation (or lowest and highest value) for all
pixels; numeric columns one by one, with empty cells filled by the median. Text columns come after
them as columns of ones and zeros, with empty cells filled by the most frequent value; a value that
the training split does not have is zero in all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from hpo.data.dataset import Source
from hpo.errors import DataError

Normalize = Literal["standard", "minmax", "none"]
Encoder = Callable[[Source], np.ndarray]

_IMAGES_AT_ONCE = 1000


class Scale(NamedTuple):
    """What is taken from each channel or column, and what it is then divided by."""

    offset: np.ndarray
    divisor: np.ndarray

    def apply(self, x: np.ndarray) -> np.ndarray:
        """`x` as float32, scaled."""
        # float64 for tables: a column of time stamps has more digits than float32.
        kind = np.float32 if x.dtype == np.uint8 else np.float64
        scaled: np.ndarray = np.subtract(x, self.offset, dtype=kind)
        np.divide(scaled, self.divisor, out=scaled, dtype=kind)
        return scaled.astype(np.float32, copy=False)


def fit_features(train: Source, normalize: Normalize) -> Encoder:
    """The function that turns the examples of any split into float32 features.

    Raises:
        DataError: for a table without a value in its training rows; the function, for numbers
            that float32 cannot hold.
    """
    if train.x.dtype == np.uint8:
        scale = fit_scale(train.x, normalize)
        return lambda source: scale.apply(source.x)
    encoders = [_fit_numeric(train, normalize)]
    if train.categories is not None:
        encoders.append(_fit_one_hot(train))

    def encode(source: Source) -> np.ndarray:
        return np.concatenate([encoder(source) for encoder in encoders], axis=1)

    if not encode(train.take(np.zeros(1, np.int64))).shape[1]:
        raise DataError(
            f"{train.target}: no feature has a value in any training row: fill in the cells, or "
            "give another file."
        )
    return encode


def fit_scale(x: np.ndarray, normalize: Normalize) -> Scale:
    """The scale of the last axis of `x`; what is constant is shifted, never divided by zero."""
    axes = tuple(range(x.ndim - 1))
    low, high = x.min(axis=axes).astype(np.float64), x.max(axis=axes).astype(np.float64)
    if normalize == "none":
        return Scale(np.zeros_like(low), np.ones_like(low))
    if normalize == "minmax":
        return Scale(low, np.where(high > low, high - low, 1.0))
    mean, std = _mean_and_std(x)
    # Compared by its values: the deviation of a constant such as 0.1 may round to 1e-17.
    return Scale(np.where(high > low, mean, low), np.where((high > low) & (std > 0), std, 1.0))


def _mean_and_std(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if x.dtype != np.uint8:
        return x.mean(axis=0), x.std(axis=0)
    # Whole-number sums of uint8 are exact, and need no float64 copy of all images.
    pixels = x.size // x.shape[-1]
    total = x.sum(axis=(0, 1, 2), dtype=np.int64)
    squares = np.zeros_like(total)
    for start in range(0, len(x), _IMAGES_AT_ONCE):
        some = x[start : start + _IMAGES_AT_ONCE]
        squares += np.square(some, dtype=np.int64).sum(axis=(0, 1, 2))
    mean = total / pixels
    return mean, np.sqrt(squares / pixels - mean**2)


def _fit_numeric(train: Source, normalize: Normalize) -> Encoder:
    fill: Callable[[np.ndarray], np.ndarray] = np.asarray
    has_value = ~np.isnan(train.x).all(axis=0)
    if train.has_empty_cells and has_value.any():
        from sklearn.impute import SimpleImputer  # takes seconds to import

        fill = SimpleImputer(strategy="median").fit(train.x[:, has_value]).transform
    scale = fit_scale(fill(train.x[:, has_value]), normalize)

    def encode(source: Source) -> np.ndarray:
        with np.errstate(over="ignore"):
            x = scale.apply(fill(source.x[:, has_value]))
        if not np.isfinite(x).all():
            raise DataError(
                f"{source.target}: a column holds numbers too large for float32, or far beyond "
                "its training rows: drop it, or take those rows out."
            )
        return x

    return encode


def _fit_one_hot(train: Source) -> Encoder:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    assert train.categories is not None
    has_value = (train.categories >= 0).any(axis=0)
    if not has_value.any():
        return lambda source: np.zeros((len(source), 0), np.float32)
    pipeline = make_pipeline(
        SimpleImputer(missing_values=-1, strategy="most_frequent"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32),
    ).fit(train.categories[:, has_value])

    def encode(source: Source) -> np.ndarray:
        assert source.categories is not None
        return np.asarray(pipeline.transform(source.categories[:, has_value]))

    return encode
