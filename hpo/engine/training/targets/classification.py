"""Targets that are one class of several, and several labels of 0 and 1."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from hpo.data.dataset import DataSet, Split
from hpo.engine.training.targets.kind import Targets, log_mean_exp
from hpo.spec.sections.loss import CrossEntropy

# A smaller chance is one that rounded to 0, whose logarithm would be infinite.
_LEAST = 1e-30


def hit(outputs: Float[Array, "B K"], y: Num[Array, " B"]) -> Float[Array, " B"]:
    """1 where the class is the most likely one."""
    return (outputs.argmax(-1) == y).astype(jnp.float32)


def all_hit(outputs: Float[Array, "B K"], y: Num[Array, "B K"]) -> Float[Array, " B"]:
    """1 where each label is the more likely one."""
    return ((outputs > 0) == (y > 0.5)).all(-1).astype(jnp.float32)


def _classification(
    sums: list[float], total: float, split: Split, data: DataSet
) -> dict[str, float]:
    return {"loss": sums[0] / total, "accuracy": sums[1] / total}


def probabilities_of(outputs: np.ndarray, data: DataSet) -> np.ndarray:
    """The probabilities of the classes."""
    odds = np.exp(outputs - outputs.max(-1, keepdims=True))
    probabilities: np.ndarray = odds / odds.sum(-1, keepdims=True)
    return probabilities


def _chances(outputs: np.ndarray, data: DataSet) -> np.ndarray:
    # The hyperbolic tangent overflows nowhere.
    chances: np.ndarray = 0.5 * (1 + np.tanh(outputs / 2))
    return chances


def logits_of(probabilities: np.ndarray, data: DataSet) -> np.ndarray:
    """Outputs that have these probabilities."""
    return np.log(np.maximum(probabilities, _LEAST)).astype(np.float32)


def _label_logits(chances: np.ndarray, data: DataSet) -> np.ndarray:
    odds = np.maximum(chances, _LEAST) / np.maximum(1 - chances, _LEAST)
    return np.log(odds).astype(np.float32)


def _joined(outputs: Float[Array, "B M K"]) -> Float[Array, "B K"]:
    return log_mean_exp(jax.nn.log_softmax(outputs))


def _joined_labels(outputs: Float[Array, "B M K"]) -> Float[Array, "B K"]:
    yes, no = jax.nn.log_sigmoid(outputs), jax.nn.log_sigmoid(-outputs)
    return log_mean_exp(yes) - log_mean_exp(no)


CLASSIFICATION = Targets(
    CrossEntropy(name="cross_entropy"),
    (hit,),
    _classification,
    probabilities_of,
    outputs=logits_of,
    joined=_joined,
)
MULTILABEL = Targets(
    CrossEntropy(name="cross_entropy"),
    (all_hit,),
    _classification,
    _chances,
    outputs=_label_logits,
    joined=_joined_labels,
)
