"""`train.threshold`: the chance above which a class or a label is found, chosen by a metric.

Of two classes there is one threshold, that of the second class. Of labels there is one each. It
is the one whose metric of the rows is largest, and of equal ones the one nearest to a half. With
labels, `accuracy` is that of each label by itself.
"""

from __future__ import annotations

import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.engine.training.metrics.scored import scored_metrics

# The metrics that a threshold decides.
DECIDED = ("accuracy", "f1", "macro_f1")


def has_thresholds(data: DataSet) -> bool:
    """Whether the targets of a data set are found above a threshold."""
    return data.task == "multilabel" or (data.task == "classification" and data.outputs == 2)


def best_thresholds(metric: str, data: DataSet, split: Split, outputs: np.ndarray) -> np.ndarray:
    """The thresholds `[T]` that a metric chooses on a split, as chances.

    `outputs` `[N, K]` are those of a model for its rows. Those that are not finite choose a half.
    """
    odds, y = _log_odds(data, outputs), split.y.reshape(len(split), -1) > 0.5
    weight = split.arrays.get("weight", np.ones(len(split))).astype(np.float64)
    if not np.isfinite(odds).all():
        return np.full(odds.shape[1], 0.5)
    is_mean = metric == "macro_f1" and data.task == "classification"
    chosen = [
        _best("macro_f1" if is_mean else "f1" if metric != "accuracy" else metric, *pair, weight)
        for pair in zip(odds.T, y.T, strict=True)
    ]
    return 0.5 * (1 + np.tanh(np.array(chosen) / 2))


def decided_metrics(
    names: tuple[str, ...],
    data: DataSet,
    split: Split,
    outputs: np.ndarray,
    thresholds: np.ndarray,
) -> dict[str, float]:
    """The accuracy, and those of the named metrics that thresholds decide."""
    shift = np.log(thresholds) - np.log1p(-thresholds)
    odds = _log_odds(data, outputs) - shift
    decided = odds
    if data.task == "classification":
        decided = np.concatenate([np.zeros_like(odds), odds], axis=1)
    scored = scored_metrics(
        tuple(name for name in names if name in DECIDED), data, split, decided, {}
    )
    found = odds > 0
    is_right = (found == (split.y.reshape(len(split), -1) > 0.5)).all(1)
    accuracy = float(np.average(is_right, weights=split.arrays.get("weight")))
    return {"accuracy": accuracy, **scored}


def _log_odds(data: DataSet, outputs: np.ndarray) -> np.ndarray:
    """The logarithm of the odds of the second class, or of each label, float64 `[N, T]`."""
    exact = outputs.astype(np.float64)
    return exact if data.task == "multilabel" else exact[:, 1:] - exact[:, :1]


def _best(metric: str, odds: np.ndarray, is_positive: np.ndarray, weight: np.ndarray) -> float:
    """The log odds above which a positive is found, so that a metric is largest."""
    order = np.argsort(-odds, kind="stable")
    ordered = odds[order]
    # A threshold lies between different odds, or beyond all of them.
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    found = np.cumsum(weight[order])[ends]
    hits = np.cumsum((weight * is_positive)[order])[ends]
    found, hits = np.append(0.0, found), np.append(0.0, hits)
    borders = (ordered[ends[:-1]] + ordered[ends[:-1] + 1]) / 2
    borders = np.concatenate([[ordered[0] + 1], borders, [ordered[-1] - 1]])
    values = _values(metric, hits, found, hits[-1], found[-1])
    best = np.flatnonzero(values >= values.max() - 1e-12)
    return float(borders[best[np.abs(borders[best]).argmin()]])


def _values(
    metric: str, hits: np.ndarray, found: np.ndarray, positive: float, total: float
) -> np.ndarray:
    """A metric by the weights of the rows found, of the hits among them, and of all positives."""
    rejected = total - positive - (found - hits)  # negatives that are not found
    if metric == "accuracy":
        return (hits + rejected) / total
    first = _f1(hits, found + positive)
    if metric == "f1":
        return first
    return (first + _f1(rejected, 2 * total - found - positive)) / 2


def _f1(hits: np.ndarray, both: np.ndarray) -> np.ndarray:
    shares: np.ndarray = np.divide(2 * hits, both, out=np.zeros(len(hits)), where=both > 0)
    return shares
