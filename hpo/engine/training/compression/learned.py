"""Weights in few bits whose steps between levels are trained: `compression.weights.name: learned`.

The steps lie among the weights of a model, one for each array of weights or for each unit. So
optimizers, averages and checkpoints treat them as weights.

Source: Esser et al. 2020, "Learned step size quantization" (arXiv:1902.08153); here the levels are
the same on both sides of 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from hpo.engine.models.abstract import STEPS
from hpo.engine.training.techniques.layers import mapped

# No step is smaller, so that weights can be divided by it.
_LEAST = 1e-8
# Of a kernel of zeros, the sizes that normal weights of its fan would have.
_NORMAL = math.sqrt(2 / math.pi)


def first_steps(
    kernels: Mapping[str, Float[np.ndarray, "..."]], bits: Mapping[str, int], *, by_channel: bool
) -> dict[str, Float[np.ndarray, " N"]]:
    """The steps of kernels before training: Section 2.1, with the mean size of each."""
    found = {}
    for name, kernel in kernels.items():
        axes = tuple(range(kernel.ndim - 1)) if by_channel else None
        sizes = np.abs(kernel).mean(axes).reshape(-1)
        usual = _NORMAL / math.sqrt(math.prod(kernel.shape[:-1]))
        sizes = np.where(sizes == 0, usual, sizes)
        found[name] = (2 * sizes / math.sqrt(most_of(bits[name]))).astype(np.float32)
    return found


def most_of(bits: Any) -> Any:
    """The largest whole number of these bits."""
    # exp2 may be off by a rounding.
    return jnp.round(jnp.exp2(bits - 1.0)) - 1 if not isinstance(bits, int) else 2 ** (bits - 1) - 1


def used_step(step: Float[Array, " N"]) -> Float[Array, " N"]:
    """A step as weights are rounded by it: of 12 binary digits, and above 0."""
    digits = lax.bitcast_convert_type(jnp.maximum(jnp.abs(step), _LEAST), jnp.uint32)
    return lax.bitcast_convert_type((digits + 0x800) & jnp.uint32(0xFFFFF000), jnp.float32)


def in_steps(
    kernel: Float[Array, "..."], step: Float[Array, " N"], bits: Any
) -> Float[Array, "..."]:
    """A kernel as whole numbers of these bits times its step: Equations 1 and 2."""
    most, step = most_of(bits), used_step(step)
    codes = jnp.clip(jnp.round(kernel / step), -most, most)
    # A file of whole numbers has no 0 below 0.
    return jnp.where(codes == 0, 0.0, codes * step)


def through_steps(tree: Any, bits: Mapping[str, Any], gradients: Any) -> Any:
    """Gradients at weights and their steps, from those at the rounded weights.

    A weight that is cut off at the ends has none (Equation 5). That of a step is Equation 3, scaled
    by the number of its weights (Section 2.2). Weights of 0 are not counted: they pad narrower
    models, or are cut.
    """
    steps = dict(gradients[STEPS])

    def one(name: str, kernel: Array, gradient: Array) -> Array:
        if name not in bits:
            return gradient
        step, most = tree[STEPS][name], most_of(bits[name])
        levels = kernel / used_step(step)
        is_inside = jnp.abs(levels) < most
        slope = jnp.where(is_inside, jnp.round(levels) - levels, jnp.sign(levels) * most)
        axes = tuple(range(kernel.ndim - 1)) if step.size > 1 else None
        count = jnp.maximum((kernel != 0).sum(axes), 1)
        moved = (gradient * slope).sum(axes) / jnp.sqrt(count * most)
        steps[name] = (jnp.where(step < 0, -1.0, 1.0) * moved).reshape(step.shape)
        return jnp.where(is_inside, gradient, 0.0)

    found = mapped(one, tree, gradients)
    return {**found, STEPS: steps}
