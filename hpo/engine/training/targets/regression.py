"""Targets that are quantities, one or several of a row, standardised."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Array, Float

from hpo.data.dataset import DataSet, Split
from hpo.data.transforms.target import in_target_range
from hpo.engine.training.targets.kind import Targets
from hpo.engine.training.targets.losses import absolute_error, squared_error
from hpo.spec.sections.loss import Mse


def in_own_unit(values: np.ndarray, data: DataSet) -> np.ndarray:
    """Standardised values in the target's own unit; class numbers and counts as they are."""
    if data.task != "regression":
        return values
    if data.transform.target_range is not None:
        return in_target_range(values, data.transform.target_range)
    found: np.ndarray = values * data.target_std + data.target_mean
    return found


def _regression(sums: list[float], total: float, split: Split, data: DataSet) -> dict[str, float]:
    loss, error = sums
    y, weights = split.y.astype(np.float64), split.arrays.get("weight")
    squares = np.square(y - np.average(y, weights=weights))
    spread = float((squares if weights is None else squares * weights).sum())
    return {
        "loss": loss / total,
        "rmse": math.sqrt(loss / total) * data.target_std if loss >= 0 else math.nan,
        "mae": error / total * data.target_std,
        # The coefficient of determination is undefined if all targets are equal.
        "r2": 1 - loss / spread if spread else math.nan,
    }


def _several(sums: list[float], total: float, split: Split, data: DataSet) -> dict[str, float]:
    """The metrics of a regression, each the mean over its targets."""
    loss, (squares, errors) = sums[0], np.array(sums[1:]).reshape(2, data.outputs)
    y, weights = split.y.astype(np.float64), split.arrays.get("weight")
    around = np.square(y - np.average(y, axis=0, weights=weights))
    spread = (around if weights is None else around * weights[:, None]).sum(0)
    return {
        "loss": loss / total,
        "rmse": float((np.sqrt(squares / total) * data.target_std).mean()),
        "mae": float((errors / total * data.target_std).mean()),
        "r2": float((1 - squares / spread).mean()) if spread.all() else math.nan,
    }


def _standardised(values: np.ndarray, data: DataSet) -> np.ndarray:
    scaled: np.ndarray = (values - data.target_mean) / data.target_std
    return scaled.astype(np.float32)


def _mean(outputs: Float[Array, "B M K"]) -> Float[Array, "B K"]:
    return outputs.mean(axis=1)


REGRESSION = Targets(
    Mse(name="mse"),
    (absolute_error,),
    _regression,
    in_own_unit,
    outputs=_standardised,
    joined=_mean,
)
# A regression with several targets.
SEVERAL = Targets(
    Mse(name="mse"),
    (squared_error, absolute_error),
    _several,
    in_own_unit,
    is_wide=True,
    outputs=_standardised,
    joined=_mean,
)
