"""Losses and metrics: sums over examples on the device, named values on the host."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Num

from hpo.data.dataset import DataSet, Split
from hpo.spec.sections.data import Task


def example_losses(
    task: Task, outputs: Float[Array, "B K"], targets: Num[Array, " B"]
) -> Float[Array, " B"]:
    """What training minimises, an example each: cross-entropy (nats), or the squared error."""
    outputs = outputs.astype(jnp.float32)
    if task == "classification":
        return optax.softmax_cross_entropy_with_integer_labels(outputs, targets)
    return jnp.square(outputs[:, 0] - targets)


def metric_sums(
    task: Task,
    outputs: Float[Array, "B K"],
    targets: Num[Array, " B"],
    weights: Float[Array, " B"],
) -> Float[Array, "2"]:
    """Sums over examples from which `metrics` computes: the loss, and hits or absolute errors."""
    losses = example_losses(task, outputs, targets)
    if task == "classification":
        second = (outputs.argmax(-1) == targets).astype(jnp.float32)
    else:
        second = jnp.abs(outputs[:, 0].astype(jnp.float32) - targets)
    # A padding example's loss may be NaN in a diverged lane only, where the sum is NaN anyway.
    return jnp.stack([(losses * weights).sum(), (second * weights).sum()])


def metrics(data: DataSet, split: Split, sums: np.ndarray) -> dict[str, float]:
    """Named metrics from sums over the examples of `split`, in the target's own unit.

    Errors of a regression are in the target's unit; its loss is the mean squared error of the
    standardised target. R2 is the coefficient of determination.
    """
    count = len(split)
    loss, second = float(sums[0]), float(sums[1])
    if data.task == "classification":
        return {"loss": loss / count, "accuracy": second / count}
    spread = float(np.square(split.y - split.y.mean(dtype=np.float64)).sum(dtype=np.float64))
    return {
        "loss": loss / count,
        "rmse": math.sqrt(loss / count) * data.target_std if loss >= 0 else math.nan,
        "mae": second / count * data.target_std,
        "r2": 1 - loss / spread if spread else math.nan,
    }


def is_finite(values: dict[str, Any]) -> bool:
    """Whether a report holds only finite numbers: a lane's that has not diverged."""
    return all(math.isfinite(value) for value in values.values())
