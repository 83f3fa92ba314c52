"""Losses; and kinds of targets: their loss, the values of each row that metrics need, the metrics.

On the device, a kind computes values for each row, which are weighted and summed. On the host, it
computes named metrics from these sums. A loss of hpo gets its spec, whose numbers may be traced,
the outputs `[B, K]` in float32 and the targets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Num

from hpo import registry
from hpo.data.dataset import DataSet, Split
from hpo.engine.program import Program, is_off
from hpo.engine.training.batches import Batch
from hpo.engine.training.own_functions import own_rows
from hpo.errors import HpoError
from hpo.spec.code.own_functions import OwnLoss
from hpo.spec.sections.data import Task as Kind
from hpo.spec.sections.loss import (
    CrossEntropy,
    Focal,
    Huber,
    Mae,
    Mse,
    Pinball,
    Poisson,
    loss_mistakes,
)

# From outputs [B, K] in float32 and targets [B, ...] to a value for each row [B], or for each of
# its targets [B, T].
RowValues = Callable[[Float[Array, "B K"], Num[Array, "B ..."]], Float[Array, "B ..."]]


@dataclass(frozen=True)
class Targets:
    """A kind of targets.

    `loss` is the spec of the loss that training minimises unless a spec names another one. It and
    `rows` are summed over a split; where they are wide, `rows` give a value for each target, `[B,
    T]`. `metrics` takes these sums (the loss first), the sum of the row weights, the split and its
    data set. `predictions` takes outputs `[N, K]` and the data set: it gives probabilities, or
    values in the targets' units.
    """

    loss: Any
    rows: tuple[RowValues, ...]
    metrics: Callable[[list[float], float, Split, DataSet], dict[str, float]]
    predictions: Callable[[np.ndarray, DataSet], np.ndarray]
    is_wide: bool = False


def targets_of(kind: Kind, outputs: int) -> Targets:
    """How targets of a kind are trained and judged, where a row has this many outputs."""
    return SEVERAL if kind == "regression" and outputs > 1 else TARGETS[kind]


def sum_count(kind: Kind, outputs: int, loss: Any) -> int:
    """The number of sums from which `metrics` computes."""
    targets = targets_of(kind, outputs)
    return 1 + len(targets.rows) * (outputs if targets.is_wide else 1) + (loss is not None)


def batch_loss(
    kind: Kind, outputs: Float[Array, "B K"], batch: Batch, loss: Any
) -> Float[Array, ""]:
    """The mean loss of a batch; the weights of all training rows have the mean 1."""
    outputs = outputs.astype(jnp.float32)
    own = targets_of(kind, outputs.shape[-1]).loss
    losses = loss_rows(own if loss is None else loss, outputs, batch)
    return (losses * batch["weight"] if "weight" in batch else losses).mean()


def metric_sums(
    kind: Kind, outputs: Float[Array, "B K"], batch: Batch, loss: Any
) -> Float[Array, " M"]:
    """Weighted sums over the rows of a batch: the loss, and the kind's other values.

    The sum of a loss that the spec names comes last.
    """
    outputs, y, weights = outputs.astype(jnp.float32), batch["y"], batch["weight"]
    targets = targets_of(kind, outputs.shape[-1])
    # A padding row's loss may be NaN in a diverged lane only, where the sum is NaN anyway.
    values = [loss_rows(targets.loss, outputs, batch), *(of(outputs, y) for of in targets.rows)]
    sums = [one for each in values for one in _sums(each, weights)]
    if loss is not None:
        # Padding rows are zeros, which a loss of the user's own need not know.
        sums.append(jnp.where(weights > 0, loss_rows(loss, outputs, batch) * weights, 0).sum())
    return jnp.stack(sums)


def _sums(values: Array, weights: Array) -> Sequence[Array]:
    """The weighted sum of the values of rows, for each target if there are several."""
    if values.ndim == 1:
        return [(values * weights).sum()]
    return [*(values * weights[:, None]).sum(0)]


def metrics(data: DataSet, split: Split, sums: np.ndarray, loss: Any) -> dict[str, float]:
    """Named metrics from the sums over a split, in the target's own unit."""
    weights = split.arrays.get("weight")
    total = len(split) if weights is None else float(weights.sum(dtype=np.float64))
    named = [float(each) for each in sums]
    own = {} if loss is None else {"loss": named.pop() / total}
    return targets_of(data.task, data.outputs).metrics(named, total, split, data) | own


def check_loss(program: Program) -> None:
    """Refuse a loss of hpo that is for another task than that of the data.

    Raises:
        HpoError: if it is.
    """
    loss = program.template.loss
    if loss is not None and not isinstance(loss, OwnLoss):
        for text in loss_mistakes(loss.name, program.task):
            raise HpoError(f"loss.name: {text}.")


def loss_rows(loss: Any, outputs: Float[Array, "B K"], batch: Batch) -> Float[Array, " B"]:
    """The values of a loss, by its spec, for the rows of a batch without their weights.

    Raises:
        CodeError: for an error of the user's own code.
        HpoError: for a result of the user's own loss that is no value for each row.
    """
    if isinstance(loss, OwnLoss):
        return own_rows(loss, outputs, batch)
    rows: Array = registry.function("loss", loss.name)(loss, outputs, batch["y"])
    return rows


def cross_entropy(
    loss: CrossEntropy, outputs: Float[Array, "B K"], y: Num[Array, "B ..."]
) -> Float[Array, " B"]:
    """Cross-entropy in nats of the class with the softmax of the outputs.

    For labels of 0 and 1 `[B, K]`, it is the mean of those of each label with its sigmoid.
    """
    if y.ndim == 2:
        return _binary_entropy(loss, outputs, y).mean(-1)
    entropy = optax.softmax_cross_entropy_with_integer_labels(outputs, y)
    if is_off(loss.smoothing):
        return entropy
    # A sum rather than a smoothed target, so that 0 as a number of a lane changes no bit.
    even = -jax.nn.log_softmax(outputs).mean(-1)
    return (1 - loss.smoothing) * entropy + loss.smoothing * even


def _binary_entropy(
    loss: CrossEntropy, outputs: Float[Array, "B K"], y: Num[Array, "B K"]
) -> Float[Array, "B K"]:
    entropy = optax.sigmoid_binary_cross_entropy(outputs, y)
    if is_off(loss.smoothing):
        return entropy
    even = optax.sigmoid_binary_cross_entropy(outputs, jnp.full_like(outputs, 0.5))
    return (1 - loss.smoothing) * entropy + loss.smoothing * even


def focal(loss: Focal, outputs: Float[Array, "B K"], y: Num[Array, "B ..."]) -> Float[Array, " B"]:
    """Cross-entropy times (1 - p)^gamma, where p is the probability of the class.

    For labels of 0 and 1 `[B, K]`, it is the mean of those of each label.
    """
    if y.ndim == 2:
        entropies = optax.sigmoid_binary_cross_entropy(outputs, y)
        others = jax.nn.log_sigmoid((1 - 2 * y) * outputs)
        return (jnp.exp(loss.gamma * others) * entropies).mean(-1)
    entropy = optax.softmax_cross_entropy_with_integer_labels(outputs, y)
    if is_off(loss.gamma):
        return entropy
    # The logarithm of 1 - p from the other classes: it and its gradient are finite where p rounds
    # to 1, which those of a power are not.
    is_class = jax.nn.one_hot(y, outputs.shape[-1], dtype=bool)
    others = logsumexp(jnp.where(is_class, -jnp.inf, jax.nn.log_softmax(outputs)), axis=-1)
    return jnp.exp(loss.gamma * others) * entropy


def _errors(outputs: Float[Array, "B T"], y: Num[Array, "B ..."]) -> Float[Array, "B ..."]:
    """The errors of standardised targets: `[B]` for one, `[B, T]` for several."""
    if y.ndim == 2:
        return outputs - y
    assert outputs.shape[-1] == 1, f"{outputs.shape} outputs for one target"
    return outputs[:, 0] - y


def _of_rows(values: Float[Array, "B ..."]) -> Float[Array, " B"]:
    """The values of rows, each the mean over its targets if there are several."""
    return values if values.ndim == 1 else values.mean(-1)


def mse(loss: Mse, outputs: Float[Array, "B T"], y: Num[Array, "B ..."]) -> Float[Array, " B"]:
    """The squared error of standardised targets."""
    return _of_rows(squared_error(outputs, y))


def mae(loss: Mae, outputs: Float[Array, "B T"], y: Num[Array, "B ..."]) -> Float[Array, " B"]:
    """The absolute error of standardised targets."""
    return _of_rows(absolute_error(outputs, y))


def huber(loss: Huber, outputs: Float[Array, "B T"], y: Num[Array, "B ..."]) -> Float[Array, " B"]:
    """Half the squared error up to `delta`, and linear beyond."""
    errors = jnp.abs(_errors(outputs, y))
    near = jnp.minimum(errors, loss.delta)
    return _of_rows(0.5 * jnp.square(near) + loss.delta * (errors - near))


def pinball(
    loss: Pinball, outputs: Float[Array, "B T"], y: Num[Array, "B ..."]
) -> Float[Array, " B"]:
    """The error times `quantile` where the target is above the output, else its rest to 1."""
    errors = -_errors(outputs, y)
    return _of_rows(jnp.maximum(loss.quantile * errors, (loss.quantile - 1) * errors))


def poisson(loss: Poisson, outputs: Float[Array, "B 1"], y: Num[Array, " B"]) -> Float[Array, " B"]:
    """The negative log-likelihood of a count whose log rate is the output, without log(y!)."""
    return jnp.exp(outputs[:, 0]) - y * outputs[:, 0]


def hit(outputs: Float[Array, "B K"], y: Num[Array, " B"]) -> Float[Array, " B"]:
    """1 where the class is the most likely one."""
    return (outputs.argmax(-1) == y).astype(jnp.float32)


def all_hit(outputs: Float[Array, "B K"], y: Num[Array, "B K"]) -> Float[Array, " B"]:
    """1 where each label is the more likely one."""
    return ((outputs > 0) == (y > 0.5)).all(-1).astype(jnp.float32)


def squared_error(outputs: Float[Array, "B T"], y: Num[Array, "B ..."]) -> Float[Array, "B ..."]:
    """The squared errors of standardised targets."""
    return jnp.square(_errors(outputs, y))


def absolute_error(outputs: Float[Array, "B T"], y: Num[Array, "B ..."]) -> Float[Array, "B ..."]:
    """The absolute errors of standardised targets."""
    return jnp.abs(_errors(outputs, y))


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


def _chances(outputs: np.ndarray, data: DataSet) -> np.ndarray:
    # The hyperbolic tangent overflows nowhere.
    chances: np.ndarray = 0.5 * (1 + np.tanh(outputs / 2))
    return chances


def _rates(outputs: np.ndarray, data: DataSet) -> np.ndarray:
    return np.exp(outputs)


def in_own_unit(values: np.ndarray, data: DataSet) -> np.ndarray:
    """Standardised values in the target's own unit; class numbers and counts as they are."""
    return values * data.target_std + data.target_mean if data.task == "regression" else values


TARGETS: dict[str, Targets] = {
    "classification": Targets(
        CrossEntropy(name="cross_entropy"), (hit,), _classification, _probabilities
    ),
    "regression": Targets(Mse(name="mse"), (absolute_error,), _regression, in_own_unit),
    "counts": Targets(
        Poisson(name="poisson"), (_squared_count_error, _count_error), _counts, _rates
    ),
    "multilabel": Targets(
        CrossEntropy(name="cross_entropy"), (all_hit,), _classification, _chances
    ),
}
# A regression with several targets.
SEVERAL = Targets(
    Mse(name="mse"), (squared_error, absolute_error), _several, in_own_unit, is_wide=True
)
