"""Metrics that need the predictions for all rows, computed on the host.

A function takes the predictions `[N, K]`, the targets `[N]`, and the row weights `[N]` or None.
Predictions are the probabilities of the classes, or values in the target's unit.
"""

from __future__ import annotations

import math

import numpy as np

from hpo import registry
from hpo.data.dataset import DataSet, Split
from hpo.engine.training.targets import TARGETS, in_own_unit


def scored_metrics(
    names: tuple[str, ...], data: DataSet, split: Split, outputs: np.ndarray
) -> dict[str, float]:
    """The named metrics from a model's outputs `[N, K]` for the rows of a split."""
    if not names:
        return {}
    predictions = TARGETS[data.task].predictions(outputs.astype(np.float64), data)
    y, weights = in_own_unit(split.y, data), split.arrays.get("weight")
    return {
        name: float(registry.function("metric", name)(predictions, y, weights))
        if np.isfinite(predictions).all()
        else math.nan
        for name in names
    }


def auroc(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`auroc`: the area under the receiver operating characteristic.

    With more than two classes, it is the mean over each class against the rest. It is NaN if a
    class has no rows.
    """
    from sklearn.metrics import roc_auc_score  # takes most of a second to import

    classes = predictions.shape[1]
    if len(np.unique(y if weights is None else y[weights > 0])) < classes:
        return math.nan
    if classes == 2:
        return float(roc_auc_score(y, predictions[:, 1], sample_weight=weights))
    return float(roc_auc_score(y, predictions, multi_class="ovr", sample_weight=weights))
