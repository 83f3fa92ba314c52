"""Norms of the gradient by layer: `train.gradient_norms`.

A lane sums them over the steps of an epoch, as it does its losses. They are those of the batch, of
its loss and penalties in the loss, before clipping and before the optimizer.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hpo.engine.models.abstract import abstract_model, name_of
from hpo.engine.program import Program
from hpo.engine.training.lane import Lane
from hpo.engine.training.techniques.layers import Layers
from hpo.spec.sections.goal import GRADIENT_NORM


def layer_names(params: Any) -> tuple[str, ...]:
    """The names of the layers of a tree of weights, such as linears/0, from the first on."""
    paths = [name_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    return tuple(dict.fromkeys(_layer(name) for name in paths))


def first_norms(program: Program) -> np.ndarray | None:
    """The sums of a lane before its first step: of all weights, then of each layer."""
    if not program.template.train.gradient_norms:
        return None
    return np.zeros(1 + len(layer_names(abstract_model(program).params)), np.float32)


def summed(
    lane: Lane, layers: Layers, gradients: Float[Array, " P"], position: Any
) -> Float[Array, " N"] | None:
    """The sums of a lane after a step with these gradients.

    The first step of an epoch starts new sums. A step whose gradients overflow in float16 adds 0.
    """
    if lane.norms is None:
        return None
    tree = layers.part(gradients)
    squares: dict[str, Any] = dict.fromkeys(layer_names(tree), 0.0)
    for path, gradient in jax.tree_util.tree_leaves_with_path(tree):
        squares[_layer(name_of(path))] += jnp.sum(gradient**2)
    each = jnp.stack([*squares.values()])
    norms = jnp.sqrt(jnp.concatenate([each.sum(keepdims=True), each]))
    if lane.scaling is not None:
        norms = jnp.where(jnp.isfinite(norms), norms, 0.0)
    return jnp.where(position == 0, 0.0, lane.norms) + norms


def named_norms(program: Program, norms: np.ndarray) -> dict[str, float]:
    """The mean norms of an epoch as metrics: `gradient_norm`, and one for each layer."""
    names = layer_names(abstract_model(program).params)
    found = [GRADIENT_NORM, *(f"{GRADIENT_NORM}/{name}" for name in names)]
    return dict(zip(found, map(float, norms), strict=True))


def _layer(name: str) -> str:
    return name.rpartition("/")[0] or name
