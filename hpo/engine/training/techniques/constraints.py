"""Changes of the weights themselves after a step: sparsity by L1, bounds of norms."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from hpo.engine.models.abstract import is_kernel
from hpo.engine.program import is_off
from hpo.engine.training.techniques.gradients import unit_axes
from hpo.engine.training.techniques.layers import Layers, mapped
from hpo.spec.marks import with_leaves
from hpo.spec.sections.updates import Updates


def decayed(spec: Any, updates: Updates, layers: Layers, params: Any) -> Any:
    """`updates.decay_on`: an optimizer whose weight decay is one number for each weight."""
    if updates.decay_on == "all" or is_off(getattr(spec, "weight_decay", 0)):
        return spec
    return with_leaves(
        spec, {"weight_decay": _on_kernels(spec.weight_decay, updates, layers, params)}
    )


def constrained(updates: Updates, layers: Layers, params: Any, rate: Any, step: Any) -> Any:
    """The weights after a step of this learning rate, with `l1` and `max_norm` applied.

    `l1` is a proximal step, which makes weights exactly 0; batches that only add to an accumulated
    gradient have none.

    Source: Daubechies et al. 2004, "An iterative thresholding algorithm for linear inverse
    problems with a sparsity constraint", Equation 3.2.
    """
    if not is_off(updates.l1):
        size = rate * updates.l1 * is_update(updates, step)
        most = _on_kernels(size, updates, layers, params)
        params = jnp.sign(params) * jnp.maximum(jnp.abs(params) - most, 0.0)
    if updates.max_norm is not None:
        params = layers.join(mapped(_at_most(updates.max_norm), layers.part(params)))
    return params


def is_update(updates: Updates, step: Any) -> Any:
    """Whether the weights change at a step, counted from 0: at each, but with accumulation."""
    if updates.accumulate is None:
        return True
    return (step + 1) % jnp.asarray(updates.accumulate, jnp.int32) == 0


def _at_most(norm: Any) -> Any:
    """Scales the weights into each unit to this norm at most.

    Source: Srivastava et al. 2014, "Dropout" (JMLR 15), Section 5.1.
    """

    def one(name: str, weights: Any) -> Any:
        if not is_kernel(name, weights):
            return weights
        own = jnp.sqrt(jnp.square(weights).sum(unit_axes(weights), keepdims=True))
        return jnp.where(own > norm, weights * (norm / jnp.maximum(own, norm)), weights)

    return one


def _on_kernels(number: Any, updates: Updates, layers: Layers, params: Any) -> Any:
    """A number for each weight; 0 for those that do not decay."""
    if updates.decay_on == "all":
        return number

    def one(name: str, weights: Any) -> Any:
        return jnp.full_like(weights, number if is_kernel(name, weights) else 0)

    return layers.join(mapped(one, layers.part(params)))
