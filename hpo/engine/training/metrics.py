"""Metrics that need the predictions for all rows, computed on the host.

A function takes the predictions `[N, K]`, the targets `[N]`, and the row weights `[N]` or None.
Predictions are the probabilities of the classes, or values in the target's unit.
"""

from __future__ import annotations

import math

import numpy as np

from hpo import registry
from hpo.data.dataset import DataSet, Split
from hpo.errors import HpoError


def check_metrics(names: tuple[str, ...], data: DataSet) -> None:
    """Refuse a metric of `train.metrics` that the data's task does not have.

    Raises:
        HpoError: for the first such metric.
    """
    for name in names:
        if data.task not in registry.METRICS[name].tasks:
            raise HpoError(f"train.metrics: {name} is not a metric of {data.task}: leave it out.")


def scored_metrics(
    names: tuple[str, ...], data: DataSet, split: Split, outputs: np.ndarray
) -> dict[str, float]:
    """The named metrics from a model's outputs `[N, K]` for the rows of a split."""
    if not names:
        return {}
    predictions, y = _predictions(data, outputs.astype(np.float64)), split.y
    if data.task == "regression":
        y = y * data.target_std + data.target_mean
    weights = split.arrays.get("weight")
    return {
        name: float(registry.function("metric", name)(predictions, y, weights))
        if np.isfinite(predictions).all()
        else math.nan
        for name in names
    }


def _predictions(data: DataSet, outputs: np.ndarray) -> np.ndarray:
    if data.task == "classification":
        odds = np.exp(outputs - outputs.max(1, keepdims=True))
        predictions: np.ndarray = odds / odds.sum(1, keepdims=True)
        return predictions
    if data.task == "counts":
        return np.exp(outputs)
    return outputs * data.target_std + data.target_mean


def auroc(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`auroc`: the area under the receiver operating characteristic.

    With more than two classes, it is the mean over each class against the rest. It is NaN if a
    class has no rows.
    """
    from sklearn.metrics import roc_auc_score  # takes most of a second to import

    classes = predictions.shape[1]
    if len(np.unique(y)) < classes:
        return math.nan
    if classes == 2:
        return float(roc_auc_score(y, predictions[:, 1], sample_weight=weights))
    return float(roc_auc_score(y, predictions, multi_class="ovr", sample_weight=weights))
