"""Linear maps of scaled features: whitening (ZCA), and their principal components (PCA).

A fit is named arrays of the training rows, applied by a function of NumPy arrays. The features of a
row that are one-hot, codes or texts are not among them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hpo.errors import DataError
from hpo.spec.sections.columns import Reduce

# The matrix of a map of more features would take hundreds of megabytes.
_MOST_FEATURES = 4096
_ROWS_AT_ONCE = 8192


def fit_projection(x: np.ndarray, reduce: Reduce, epsilon: float | None) -> dict[str, np.ndarray]:
    """The arrays of the map of scaled training features `[N, ...]`, with `epsilon` for whitening.

    Sources: Krizhevsky 2009, "Learning multiple layers of features from tiny images", Appendix A
    (ZCA); Jolliffe 2002, "Principal component analysis", Chapter 1.

    Principal components are whitened too where both are asked for.

    Raises:
        DataError: for too many features, or more components than there are.
    """
    if epsilon is None and reduce.name == "none":
        return {}
    rows = x.reshape(len(x), -1)
    count = rows.shape[1]
    if count > _MOST_FEATURES:
        raise DataError(
            f"data.{_leaf(epsilon)}: {count:,} features are more than {_MOST_FEATURES:,}: make "
            "images smaller, or remove it."
        )
    if count == 0:
        raise DataError(
            f"data.{_leaf(epsilon)}: there are no features that are numbers: remove it."
        )
    mean = rows.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((count, count))
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[start : start + _ROWS_AT_ONCE] - mean
        covariance += some.T @ some
    values, axes = np.linalg.eigh(covariance / len(rows))
    values, axes = np.maximum(values[::-1], 0), axes[:, ::-1]
    divisors = np.ones(count) if epsilon is None else np.sqrt(values + epsilon)
    if reduce.name == "none":
        return {"map_mean": mean, "map": (axes / divisors) @ axes.T}
    kept = axes[:, : _component_count(reduce.components, values, min(len(rows), count))]
    # Each axis points to the side of its largest number, whatever LAPACK gives.
    signs = np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])])
    kept = kept * signs / divisors[: kept.shape[1]]
    return {"map_mean": mean, "map": kept, "is_reduced": np.array(True)}


def projected(more: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Scaled features under the map of a fit, float32; unchanged without one."""
    if "map" not in more:
        return x
    centred = x.reshape(len(x), -1) - more["map_mean"]
    found: np.ndarray = (centred @ more["map"]).astype(np.float32)
    return found if "is_reduced" in more else found.reshape(x.shape)


def _component_count(asked: int | float, values: np.ndarray, most: int) -> int:
    if isinstance(asked, int):
        if asked > most:
            raise DataError(
                f"data.reduce.components: {asked} is more than the {most} that these training rows "
                "have: write fewer, or a share of the variance such as 0.95."
            )
        return asked
    shares = np.cumsum(values) / values.sum()
    return min(most, int(np.searchsorted(shares, asked, side="right")) + 1)


def _leaf(epsilon: float | None) -> str:
    return "reduce" if epsilon is None else "normalize: whiten"
