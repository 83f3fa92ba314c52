"""Metrics that need the predictions for all rows, computed on the host.

Predictions are the probabilities of the classes or labels, or values in the targets' units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hpo import registry
from hpo.data.dataset import DataSet, Split
from hpo.engine.training.targets.regression import in_own_unit
from hpo.engine.training.targets.sums import targets_of
from hpo.spec.code.frames import CodeError, telling
from hpo.spec.code.own_code import Own
from hpo.spec.code.own_metric import takes_weight
from hpo.spec.code.running import run_code
from hpo.spec.sections.goal import name_of


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
    """The named metrics from a model's outputs `[N, K]` for the rows of a split, where they can.

    `own` are the metrics of the user's own, by the references that name them.

    Raises:
        MetricError: for an error of the user's own code, or a result that is no number.
    """
    metrics = registry.METRICS
    names = tuple(name for name in names if not (name in metrics and metrics[name].reads))
    if not names:
        return {}
    kind = targets_of(data.task, data.outputs)
    predictions = kind.predictions(outputs.astype(np.float64), data)
    y, weights = in_own_unit(split.y, data), split.row_weight
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
