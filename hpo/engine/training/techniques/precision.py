"""float16: gradients of a scaled loss, whose scale moves with what overflows.

Source: Micikevicius et al. 2018, "Mixed precision training" (arXiv:1710.03740), Section 3.2; the
scale moves as that of PyTorch's `GradScaler` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from hpo.engine.program import Program
from hpo.engine.training.batches import AnyArray
from hpo.engine.training.lane import Lane

_FIRST_SCALE, _GROWTH, _BACKOFF, _INTERVAL = 2.0**16, 2.0, 0.5, 2000


class Scaling(NamedTuple):
    """The factor of a lane's loss, and its steps without overflow since that changed."""

    scale: Float[AnyArray, ""]
    steps: Int[AnyArray, ""]


def first_scaling(program: Program) -> Scaling | None:
    """The scaling of a trial before its first step; None for a precision that needs none."""
    if program.template.train.precision != "float16":
        return None
    return Scaling(np.array(_FIRST_SCALE, np.float32), np.array(0, np.int32))


def next_scaling(scaling: Scaling, is_finite: Bool[Array, ""]) -> Scaling:
    """The scaling after a step whose gradients were finite, or not."""
    steps = scaling.steps + 1
    grows = steps >= _INTERVAL
    scale = jnp.where(grows, scaling.scale * _GROWTH, scaling.scale)
    scale = jnp.where(is_finite, scale, scaling.scale * _BACKOFF)
    return Scaling(scale, jnp.where(is_finite & ~grows, steps, 0))


def loss_and_gradients(loss_of: Callable[..., Any], scaling: Scaling | None) -> Callable[..., Any]:
    """Loss, variables and gradients by the weights, of a function from weights to the former two.

    Where a gradient of the scaled loss overflows, all gradients are NaN.
    """
    if scaling is None:
        return jax.value_and_grad(loss_of, has_aux=True)

    def of(weights: Any, *inputs: Any) -> tuple[tuple[Array, Any], Any]:
        def scaled(weights: Any) -> tuple[Array, tuple[Array, Any]]:
            loss, variables = loss_of(weights, *inputs)
            return loss * scaling.scale, (loss, variables)

        (_, found), gradients = jax.value_and_grad(scaled, has_aux=True)(weights)
        factor = jnp.where(_are_finite(gradients), 1 / scaling.scale, jnp.nan)
        return found, jax.tree.map(lambda gradient: gradient * factor, gradients)

    return of


def kept_if_overflown(before: Lane, after: Lane) -> Lane:
    """The lane after a step; only step, loss and scale move if the step's gradients overflowed."""
    if before.scaling is None:
        return after
    moved = ("params", "variables", "optimizer", "copies")
    is_fine = ~jnp.stack(
        [
            jnp.isnan(leaf).any()
            for leaf in jax.tree.leaves((after.params, after.optimizer))
            if jnp.issubdtype(leaf.dtype, jnp.floating)
        ]
    ).any()

    def chosen(old: Any, new: Any) -> Any:
        return jnp.where(is_fine, new, old)

    parts = {
        name: jax.tree.map(chosen, getattr(before, name), getattr(after, name)) for name in moved
    }
    return after._replace(**parts, scaling=next_scaling(before.scaling, is_fine))


def _are_finite(tree: Any) -> Bool[Array, ""]:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()
