"""Targets that are counts, whole numbers from 0."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from hpo.data.dataset import DataSet, Split
from hpo.engine.training.targets.kind import Targets, log_mean_exp
from hpo.spec.sections.loss import Poisson


def _squared_count_error(outputs: Float[Array, "B 1"], y: Num[Array, " B"]) -> Float[Array, " B"]:
    return jnp.square(jnp.exp(outputs[:, 0]) - y)


def _count_error(outputs: Float[Array, "B 1"], y: Num[Array, " B"]) -> Float[Array, " B"]:
    return jnp.abs(jnp.exp(outputs[:, 0]) - y)


def _counts(sums: list[float], total: float, split: Split, data: DataSet) -> dict[str, float]:
    loss, squares, errors = sums
    y, weights = split.y.astype(np.float64), split.arrays.get("weight", 1.0)
    # The least possible loss: a model that predicts the count of each row.
    # Counts are whole: y log y is 0 at 0 as at 1. (SciPy has `xlogy`, and takes long to import.)
    least = float((weights * (y - y * np.log(np.maximum(y, 1)))).sum())
    return {
        "loss": loss / total,
        "deviance": 2 * (loss - least) / total,
        "rmse": math.sqrt(squares / total) if squares >= 0 else math.nan,
        "mae": errors / total,
    }


def _rates(outputs: np.ndarray, data: DataSet) -> np.ndarray:
    return np.exp(outputs)


def _log_rates(rates: np.ndarray, data: DataSet) -> np.ndarray:
    return np.log(rates).astype(np.float32)


COUNTS = Targets(
    Poisson(name="poisson"),
    (_squared_count_error, _count_error),
    _counts,
    _rates,
    outputs=_log_rates,
    joined=log_mean_exp,
)
