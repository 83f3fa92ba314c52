"""Columns of numbers before they are scaled: what fills empty cells, logarithms and quantiles.

Fits are named arrays of the training rows; they are applied by functions of NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hpo.data.mapped import is_large
from hpo.data.transforms.by_column import pieces_of, values_of
from hpo.spec.sections.columns import Treatment

# As many as scikit-learn's QuantileTransformer takes by default.
_MOST_QUANTILES = 1000
# Beyond the training quantiles, as scikit-learn bounds them.
BOUND = 1e-7


def fill_of(x: np.ndarray, treatments: Sequence[Treatment]) -> np.ndarray:
    """What each column of `x` gets in its empty cells, float64; no column is empty everywhere."""
    if not x.shape[1]:
        return np.zeros(0)
    # All at once where all columns are alike: one by one takes seconds with tens of thousands.
    are_medians = all(treatment.impute == "median" for treatment in treatments)
    if are_medians and not is_large(x.nbytes):
        medians: np.ndarray = np.nanmedian(x, axis=0)
        return medians
    return np.array([_fill(values_of(c), t) for c, t in zip(x.T, treatments, strict=True)])


def _fill(values: np.ndarray, treatment: Treatment) -> float:
    if treatment.impute == "constant":
        return treatment.constant
    if treatment.impute == "mean":
        return float(values.mean())
    if treatment.impute == "median":
        return float(np.median(values, overwrite_input=True))
    found, counts = np.unique(values, return_counts=True)
    return float(found[counts.argmax()])  # the smallest of equally frequent ones


def ends_of(x: np.ndarray) -> np.ndarray:
    """The lowest and the highest number of each column, float64 `[2, columns]`, NaN left out."""
    found = np.full((2, x.shape[1]), np.nan)
    for rows in pieces_of(x):
        found[0] = np.fmin(found[0], np.fmin.reduce(x[rows], axis=0))
        found[1] = np.fmax(found[1], np.fmax.reduce(x[rows], axis=0))
    return found


def fit_numbers(x: np.ndarray, treatments: Sequence[Treatment]) -> dict[str, np.ndarray]:
    """The arrays that say how filled training numbers change before they are scaled."""
    found = {}
    log = [column for column, one in enumerate(treatments) if one.transform == "log"]
    quantile = [column for column, one in enumerate(treatments) if one.transform == "quantile"]
    if log:
        found["log_column"] = np.array(log, np.int32)
    if quantile:
        count = max(1, min(_MOST_QUANTILES, len(x)))
        found["quantile_column"] = np.array(quantile, np.int32)
        shares = np.linspace(0, 1, count) * 100
        found["quantiles"] = np.column_stack(
            [np.percentile(values_of(x[:, c]), shares, overwrite_input=True) for c in quantile]
        )
    return found


def logarithms(x: np.ndarray) -> np.ndarray:
    """log(1 + |x|) with the sign of x, which numbers below 0 have too."""
    changed: np.ndarray = np.copysign(np.log1p(np.abs(x)), x)
    return changed


def normal_quantiles(x: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """The numbers of a column as those of a normal distribution with the same ranks.

    Equals `QuantileTransformer(output_distribution="normal")`, which interpolates from below and
    from above, and takes the mean of both where numbers are equal.
    """
    from scipy.special import ndtri  # takes a tenth of a second to import

    places = np.linspace(0, 1, len(quantiles))
    below = np.interp(x, quantiles, places)
    above = np.interp(-x, -quantiles[::-1], -places[::-1])
    share = 0.5 * (below - above)
    share[x + BOUND > quantiles[-1]] = 1.0
    share[x - BOUND < quantiles[0]] = 0.0
    ends = ndtri(BOUND - np.spacing(1)), ndtri(1 - (BOUND - np.spacing(1)))
    with np.errstate(divide="ignore"):
        normal: np.ndarray = np.clip(ndtri(share), *ends)
    return normal


def robust_scale(x: np.ndarray) -> dict[str, Any]:
    """The median of each column as its offset, the range of its middle half as its divisor.

    Where that range is 0, half of the whole range divides; a constant is not divided.

    Source: Holzmueller et al. 2024, "Better by default" (arXiv:2407.04491), Section 3.
    """
    if not x.shape[1]:
        return {"offset": np.zeros(0), "divisor": np.ones(0)}
    low, first, median, third, high = np.array(
        [
            np.percentile(values_of(column), (0, 25, 50, 75, 100), overwrite_input=True)
            for column in x.T
        ]
    ).T
    divisor = np.where(third > first, third - first, np.where(high > low, (high - low) / 2, 1.0))
    return {"offset": median, "divisor": divisor}


def smoothly_clipped(x: np.ndarray, bound: Any) -> np.ndarray:
    """`x / sqrt(1 + (x / bound)^2)`: about `x` near 0, and never beyond the bound.

    Source: Holzmueller et al. 2024, "Better by default" (arXiv:2407.04491), Section 3.
    """
    # Far beyond a tiny bound the quotient is infinite, and the result 0.
    with np.errstate(over="ignore"):
        clipped: np.ndarray = x / np.hypot(1, x / np.float32(bound))
    return clipped
