"""Kinds of targets: the loss, the values of each row that metrics need, and the metrics.

On the device, a kind computes values for each row, which are weighted and summed. On the host, it
computes named metrics from these sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Num

from hpo.data.dataset import DataSet, Split
from hpo.engine.training.batches import Batch
from hpo.engine.training.own_functions import own_rows
from hpo.spec.code.own_functions import OwnLoss
from hpo.spec.sections.data import Task as Kind

# From outputs [B, K] in float32 and targets [B, ...] to a value for each row [B].
RowValues = Callable[[Float[Array, "B K"], Num[Array, "B ..."]], Float[Array, " B"]]


@dataclass(frozen=True)
class Targets:
    """A kind of targets.

    `rows` are summed over a split, as the loss is. `metrics` takes these sums (the loss first), the
    sum of the row weights, the split and its data set. `predictions` takes outputs `[N, K]` and the
    data set: it gives the probabilities of the classes, or values in the target's unit.
    """

    loss: RowValues
    rows: tuple[RowValues, ...]
    metrics: Callable[[list[float], float, Split, DataSet], dict[str, float]]
    predictions: Callable[[np.ndarray, DataSet], np.ndarray]


def sum_count(kind: Kind, loss: OwnLoss | None = None) -> int:
    """The number of sums from which `metrics` computes."""
    return 1 + len(TARGETS[kind].rows) + (loss is not None)


def batch_loss(
    kind: Kind, outputs: Float[Array, "B K"], batch: Batch, loss: OwnLoss | None = None
) -> Float[Array, ""]:
    """The mean loss of a batch; the weights of all training rows have the mean 1."""
    outputs = outputs.astype(jnp.float32)
    if loss is None:
        losses = TARGETS[kind].loss(outputs, batch["y"])
    else:
        losses = own_rows(loss, outputs, batch)
    return (losses * batch["weight"] if "weight" in batch else losses).mean()


def metric_sums(
    kind: Kind, outputs: Float[Array, "B K"], batch: Batch, loss: OwnLoss | None = None
) -> Float[Array, " M"]:
    """Weighted sums over the rows of a batch: the loss, and the kind's other values.

    The sum of a loss of the user's own comes last.
    """
    outputs, y, weights = outputs.astype(jnp.float32), batch["y"], batch["weight"]
    targets = TARGETS[kind]
    # A padding row's loss may be NaN in a diverged lane only, where the sum is NaN anyway.
    sums = [(of(outputs, y) * weights).sum() for of in (targets.loss, *targets.rows)]
    if loss is not None:
        # Padding rows are zeros, which a loss of the user's own need not know.
        sums.append(jnp.where(weights > 0, own_rows(loss, outputs, batch) * weights, 0).sum())
    return jnp.stack(sums)


def metrics(
    data: DataSet, split: Split, sums: np.ndarray, loss: OwnLoss | None = None
) -> dict[str, float]:
    """Named metrics from the sums over a split, in the target's own unit."""
    weights = split.arrays.get("weight")
    total = len(split) if weights is None else float(weights.sum(dtype=np.float64))
    named = [float(each) for each in sums]
    own = {} if loss is None else {"loss": named.pop() / total}
    return TARGETS[data.task].metrics(named, total, split, data) | own


def cross_entropy(outputs: Float[Array, "B K"], y: Num[Array, " B"]) -> Float[Array, " B"]:
    """Cross-entropy of the class with the softmax of the outputs, in nats."""
    return optax.softmax_cross_entropy_with_integer_labels(outputs, y)


def hit(outputs: Float[Array, "B K"], y: Num[Array, " B"]) -> Float[Array, " B"]:
    """1 where the class is the most likely one."""
    return (outputs.argmax(-1) == y).astype(jnp.float32)


def squared_error(outputs: Float[Array, "B 1"], y: Num[Array, " B"]) -> Float[Array, " B"]:
    """The squared error of the standardised target."""
    return jnp.square(outputs[:, 0] - y)


def absolute_error(outputs: Float[Array, "B 1"], y: Num[Array, " B"]) -> Float[Array, " B"]:
    """The absolute error of the standardised target."""
    return jnp.abs(outputs[:, 0] - y)


def _classification(
    sums: list[float], total: float, split: Split, data: DataSet
) -> dict[str, float]:
    return {"loss": sums[0] / total, "accuracy": sums[1] / total}


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


def poisson_loss(outputs: Float[Array, "B 1"], y: Num[Array, " B"]) -> Float[Array, " B"]:
    """The negative log-likelihood of a count whose log rate is the output, without log(y!)."""
    return jnp.exp(outputs[:, 0]) - y * outputs[:, 0]


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


def _probabilities(outputs: np.ndarray, data: DataSet) -> np.ndarray:
    odds = np.exp(outputs - outputs.max(1, keepdims=True))
    probabilities: np.ndarray = odds / odds.sum(1, keepdims=True)
    return probabilities


def _rates(outputs: np.ndarray, data: DataSet) -> np.ndarray:
    return np.exp(outputs)


def in_own_unit(values: np.ndarray, data: DataSet) -> np.ndarray:
    """Standardised values in the target's own unit; class numbers and counts as they are."""
    return values * data.target_std + data.target_mean if data.task == "regression" else values


TARGETS: dict[str, Targets] = {
    "classification": Targets(cross_entropy, (hit,), _classification, _probabilities),
    "regression": Targets(squared_error, (absolute_error,), _regression, in_own_unit),
    "counts": Targets(poisson_loss, (_squared_count_error, _count_error), _counts, _rates),
}
