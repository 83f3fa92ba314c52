"""Linear maps of scaled features: whitening (ZCA), principal components (PCA), and a selection.

A fit is named arrays of the training rows, applied by a function of NumPy arrays. The features of a
row that are one-hot, codes or texts are not among them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hpo.data.source import Source
from hpo.errors import DataError
from hpo.spec.sections.columns import Reduce

# The matrix of a map of more features would take hundreds of megabytes.
_MOST_FEATURES = 4096
_ROWS_AT_ONCE = 8192
# The estimate of the mutual information looks for neighbours of each row.
_MOST_ROWS = 5000
_ALL = Reduce()


def fit_projection(
    x: np.ndarray, train: Source, reduce: Reduce, epsilon: float | None
) -> dict[str, np.ndarray]:
    """The arrays of the map of scaled training features `[N, ...]`, with `epsilon` for whitening.

    `train` has the targets of the rows.

    Sources: Krizhevsky 2009, "Learning multiple layers of features from tiny images", Appendix A
    (ZCA); Jolliffe 2002, "Principal component analysis", Chapter 1.

    Principal components, and selected features, are whitened too where both are asked for.

    Raises:
        DataError: for too many features, more components or features than there are, or a
            selection for anything but one target.
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
    if reduce.name == "select":
        chosen = np.eye(count)[:, selected(rows, train, reduce.features)]
        if epsilon is None:
            return {"map_mean": np.zeros(count), "map": chosen, "is_reduced": np.array(True)}
        white = fit_projection(rows @ chosen, train, _ALL, epsilon)
        mean, white_map = chosen @ white["map_mean"], chosen @ white["map"]
        return {"map_mean": mean, "map": white_map, "is_reduced": np.array(True)}
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


def selected(x: np.ndarray, train: Source, count: int) -> np.ndarray:
    """The places of the `count` features that have the most mutual information with the target.

    Of more than 5,000 rows, as many are drawn for the estimate.

    Source: Ross 2014, "Mutual information between discrete and continuous data sets", for classes;
    Kraskov et al. 2004, "Estimating mutual information", for a quantity.

    Raises:
        DataError: if there are fewer features, or several targets.
    """
    # Imported here, because few specs ask for it.
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    if count > x.shape[1]:
        raise DataError(
            f"data.reduce.features: {count} is more than the {x.shape[1]} features that are "
            "numbers: write fewer."
        )
    if train.y.ndim > 1:
        raise DataError("data.reduce: select is for one target, and there are several: remove it.")
    rows = np.arange(len(x))
    if len(rows) > _MOST_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, _MOST_ROWS, replace=False))
    information = mutual_info_classif if train.classes else mutual_info_regression
    found = information(x[rows], train.y[rows], random_state=0)
    # Equal features keep their order, on every machine.
    return np.sort(np.argsort(-found, kind="stable")[:count])


def projected(more: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Scaled features under the map of a fit, float32; unchanged without one."""
    if "map" not in more:
        return x
    centred = x.reshape(len(x), math.prod(x.shape[1:])) - more["map_mean"]
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
