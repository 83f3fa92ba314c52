"""Judges the predictions of a baseline as a trial's are judged: by the code of its metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.engine.training.metrics.scored import scored_metrics
from hpo.engine.training.metrics.thresholds import best_thresholds, decided_metrics
from hpo.engine.training.targets.regression import in_own_unit
from hpo.engine.training.targets.sums import metric_sums, metrics
from hpo.spec.code.own_functions import OwnLoss
from hpo.spec.sections.data import Task

_LEAST = float(np.finfo(np.float64).eps)  # as scikit-learn clips probabilities


def judge(
    data: DataSet,
    split: Split,
    predictions: np.ndarray,
    training: Any,
    thresholds: np.ndarray | None = None,
) -> dict[str, float]:
    """The metrics of predictions `[N, K]` for the rows of a split, and those of `train.metrics`.

    Predictions are probabilities, standardised values or rates. Thresholds that `train.threshold`
    asks for are chosen on this split unless they are given.

    Raises:
        MetricError: for an error of a metric of the user's own.
    """
    outputs = _outputs(data, predictions)
    batch: dict[str, Any] = {"y": split.y, "weight": np.ones(len(split), np.float32)}
    # A loss of the user's own may read all that a batch has.
    batch |= split.arrays if isinstance(training.loss, OwnLoss) else {}
    batch |= {"weight": split.arrays["weight"]} if "weight" in split.arrays else {}
    sums = np.asarray(_compiled(data.task, training.loss)(outputs, batch))
    found = metrics(data, split, sums, training.loss)
    names, own = training.train.metrics, training.own_metrics
    found |= scored_metrics(names, data, split, outputs, own)
    if training.train.threshold is None:
        return found
    if thresholds is None:
        thresholds = thresholds_of(data, predictions, training)
    return found | decided_metrics(names, data, split, outputs, thresholds)


def thresholds_of(data: DataSet, predictions: np.ndarray, training: Any) -> np.ndarray:
    """The thresholds that predictions for the validation rows choose."""
    metric, outputs = training.train.threshold, _outputs(data, predictions)
    return best_thresholds(metric, data, data.validation, outputs)


def mean_prediction(data: DataSet, predictions: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of the predictions that were made in each fold, in the unit of `data` itself."""
    own = [in_own_unit(found, one) for found, one in zip(predictions, data.members, strict=True)]
    mean: np.ndarray = np.mean(own, axis=0)
    return (mean - data.target_mean) / data.target_std if data.task == "regression" else mean


@lru_cache(maxsize=8)
def _compiled(task: Task, loss: Any) -> Callable[..., Any]:
    """The sums of the metrics of a task, compiled once for all baselines."""
    return jax.jit(lambda outputs, batch: metric_sums(task, outputs, batch, loss))


def _outputs(data: DataSet, predictions: np.ndarray) -> np.ndarray:
    """The outputs of a model that predicts the same."""
    outputs = predictions
    if data.task == "classification":
        outputs = np.log(np.clip(predictions, _LEAST, 1.0))
    elif data.task == "multilabel":
        chances = np.clip(predictions, _LEAST, 1 - _LEAST)
        outputs = np.log(chances) - np.log1p(-chances)
    elif data.task == "counts":
        outputs = np.log(np.maximum(predictions, _LEAST))
    return outputs
