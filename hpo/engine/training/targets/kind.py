"""What a kind of target says of itself: its loss, the values of its rows, its metrics."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Num

from hpo.data.dataset import DataSet, Split

# From outputs [B, ..., K] in float32 and targets [B, ...] to a value for each row [B], or for each
# of its targets or classes [B, T].
RowValues = Callable[[Float[Array, "B ... K"], Num[Array, "B ..."]], Float[Array, "B ..."]]


@dataclass(frozen=True)
class Targets:
    """A kind of targets.

    `loss` is the spec of the loss that training minimises unless a spec names another one. It and
    `rows` are summed over a split; where they are wide, `rows` give a value for each of the
    outputs, `[B, K]`. `metrics` takes these sums (the loss first), the sum of the row weights, the
    split and its data set. `predictions` takes outputs `[N, ..., K]` and the data set: it gives
    probabilities, or values in the targets' units. `outputs` turns such predictions, as float64,
    into the outputs that give them, so that a mean prediction has metrics. `joined` does the same
    within a program for the members of one model: it takes outputs `[B, M, K]` to those of the
    members' mean prediction. It is None for a kind with an answer at each position of a row.
    """

    loss: Any
    rows: tuple[RowValues, ...]
    metrics: Callable[[list[float], float, Split, DataSet], dict[str, float]]
    predictions: Callable[[np.ndarray, DataSet], np.ndarray]
    outputs: Callable[[np.ndarray, DataSet], np.ndarray]
    is_wide: bool = False
    joined: Callable[[Float[Array, "B M K"]], Float[Array, "B K"]] | None = None


def log_mean_exp(x: Float[Array, "B M K"]) -> Float[Array, "B K"]:
    """The logarithm of the mean of `exp(x)` over members."""
    found: Array = jax.nn.logsumexp(x, axis=1) - math.log(x.shape[1])
    return found
