"""Metrics that need the predictions for all rows, computed on the host.

A function takes the predictions `[N, K]`, the targets `[N]` (`[N, K]` for several), and the row
weights `[N]` or None. Predictions are the probabilities of the classes or labels, or values in the
targets' units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hpo import registry
from hpo.data.dataset import DataSet, Split
from hpo.engine.training.targets import in_own_unit, targets_of
from hpo.spec.code.frames import CodeError, telling
from hpo.spec.code.own_code import Own
from hpo.spec.code.own_metric import takes_weight
from hpo.spec.code.running import run_code
from hpo.spec.sections.goal import name_of

# The smallest chance, and the smallest target, that scikit-learn divides by or takes the log of.
_EPSILON = float(np.finfo(np.float64).eps)


class MetricError(CodeError):
    """An error of a metric of the user's own; `names` are the metrics that have no value then."""

    def __init__(self, error: CodeError, names: tuple[str, ...]) -> None:
        super().__init__(error.sentence, error.frames)
        self.names = names


def scored_metrics(
    names: tuple[str, ...],
    data: DataSet,
    split: Split,
    outputs: np.ndarray,
    own: Mapping[str, Own],
) -> dict[str, float]:
    """The named metrics from a model's outputs `[N, K]` for the rows of a split.

    `own` are the metrics of the user's own, by the references that name them.

    Raises:
        MetricError: for an error of the user's own code, or a result that is no number.
    """
    if not names:
        return {}
    kind = targets_of(data.task, data.outputs)
    predictions = kind.predictions(outputs.astype(np.float64), data)
    y, weights = in_own_unit(split.y, data), split.arrays.get("weight")
    if not np.isfinite(predictions).all():
        return {name_of(name): math.nan for name in names}
    found = {}
    for name in names:
        if name in own:
            try:
                found[name_of(name)] = own_metric(name, own[name], predictions, y, weights)
            except CodeError as error:
                raise MetricError(error, tuple(map(name_of, names))) from None
        else:
            found[name] = float(registry.function("metric", name)(predictions, y, weights))
    return found


def own_metric(
    name: str, own: Own, predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None
) -> float:
    """A metric of the user's own: one number for all rows, or the mean of one for each row.

    Raises:
        CodeError: for an error of the user's own code, or another result.
    """
    if own.code is None:
        raise CodeError(f"train.metrics: '{name}': {own.trouble}.")
    given = {"weight": np.ones(len(y)) if weights is None else weights} if takes_weight(own) else {}
    with telling(own.code, "train.metrics"):
        found = np.asarray(run_code(own.code)(predictions, y, **given))
    if found.shape not in ((), y.shape[:1]) or found.dtype.kind not in "biuf":
        raise CodeError(
            f"train.metrics: {name} gives an array of shape {list(found.shape)} and type "
            f"{found.dtype} for {len(y)} rows: give one number, or one for each row."
        )
    value = float(found) if found.shape == () else float(np.average(found, weights=weights))
    if not math.isfinite(value):
        what = f"{value} for" if found.shape == () else f"values with the mean {value} for the"
        raise CodeError(
            f"train.metrics: {name} gives {what} {len(y):,} rows: give a finite number."
        )
    return value


def auroc(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`auroc`: the area under the receiver operating characteristic.

    With more than two classes, it is the mean over each class against the rest; with labels, the
    mean over the labels. It is NaN if a class has no rows.
    """
    from sklearn.metrics import roc_auc_score  # takes most of a second to import

    if y.ndim == 2:
        counted = y if weights is None else y[weights > 0]
        if (counted == counted[0]).all(0).any():
            return math.nan
        return float(roc_auc_score(y, predictions, sample_weight=weights))
    classes = predictions.shape[1]
    if len(np.unique(y if weights is None else y[weights > 0])) < classes:
        return math.nan
    if classes == 2:
        return float(roc_auc_score(y, predictions[:, 1], sample_weight=weights))
    return float(roc_auc_score(y, predictions, multi_class="ovr", sample_weight=weights))


def top3_accuracy(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`top3_accuracy`: how often the class is among the three most likely ones."""
    return _top_accuracy(3, predictions, y, weights)


def top5_accuracy(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`top5_accuracy`: how often the class is among the five most likely ones."""
    return _top_accuracy(5, predictions, y, weights)


def _top_accuracy(
    most: int, predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None
) -> float:
    own = predictions[np.arange(len(y)), y][:, None]
    # Of equally likely classes the last one comes first, as in scikit-learn.
    is_later = np.arange(predictions.shape[1]) > y[:, None]
    before = (predictions > own) | ((predictions == own) & is_later)
    return float(np.average(before.sum(1) < most, weights=weights))


def log_loss(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`log_loss`: the cross-entropy in nats, whatever loss is trained."""
    chances = np.clip(predictions[np.arange(len(y)), y], _EPSILON, 1 - _EPSILON)
    return float(np.average(-np.log(chances), weights=weights))


def macro_f1(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`macro_f1`: the mean of the classes' F1, of those that are in the targets or predicted.

    With labels, it is the mean over the labels, of which those above a half are predicted.
    """
    if y.ndim == 2:
        found, true, labels = predictions > 0.5, y > 0.5, np.arange(y.shape[1])
    else:
        labels = np.union1d(y, predictions.argmax(1))
        found, true = predictions.argmax(1)[:, None] == labels, y[:, None] == labels
    weights = np.ones(len(y)) if weights is None else weights
    hits, both = weights @ (found & true), weights @ found + weights @ true
    return float(np.divide(2 * hits, both, out=np.zeros(len(labels)), where=both > 0).mean())


def average_precision(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`average_precision`: the area under the precision-recall curve, as a sum of steps.

    With more than two classes, it is the mean over each class against the rest; with labels, the
    mean over the labels. It is NaN if a class has no rows.
    """
    weights = np.ones(len(y)) if weights is None else weights
    if y.ndim == 2:
        columns = [(predictions[:, k], y[:, k]) for k in range(y.shape[1])]
    else:
        classes = (1,) if predictions.shape[1] == 2 else range(predictions.shape[1])
        columns = [(predictions[:, k], y == k) for k in classes]
    return float(np.mean([_precision(scores, hits, weights) for scores, hits in columns]))


def _precision(scores: np.ndarray, is_positive: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    found = np.cumsum((weights * is_positive)[order])[ends]
    drawn = np.cumsum(weights[order])[ends]
    if found[-1] == 0:
        return math.nan
    precision = np.divide(found, drawn, out=np.zeros(len(ends)), where=drawn > 0)
    return float((np.diff(found, prepend=0.0) * precision).sum() / found[-1])


def mape(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`mape`: the mean error as a share of the target, 0.1 for ten per cent."""
    true = y.reshape(predictions.shape)
    errors = np.abs(predictions - true) / np.maximum(np.abs(true), _EPSILON)
    return float(np.average(errors, axis=0, weights=weights).mean())


def pinball10(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`pinball10`: the pinball loss of the tenth percentile, in the target's unit."""
    return _pinball(0.1, predictions, y, weights)


def pinball50(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`pinball50`: the pinball loss of the median, half the mean absolute error."""
    return _pinball(0.5, predictions, y, weights)


def pinball90(predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """`pinball90`: the pinball loss of the ninetieth percentile, in the target's unit."""
    return _pinball(0.9, predictions, y, weights)


def _pinball(
    quantile: float, predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None
) -> float:
    errors = y.reshape(predictions.shape) - predictions
    losses = np.maximum(quantile * errors, (quantile - 1) * errors)
    return float(np.average(losses, axis=0, weights=weights).mean())
