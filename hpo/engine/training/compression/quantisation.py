"""Weights in few bits: `compression.weights`.

A lane keeps its weights in float32, and the model is called with rounded ones. The number of bits
is a number of the program, like any other.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from hpo.engine.training.techniques.layers import is_kernel, mapped
from hpo.spec.sections.compression.quantisation import BITS, Weights


def is_quantised(weights: Weights) -> bool:
    """Whether weights between units have few bits."""
    return weights.name != "none"


def in_training(weights: Weights, tree: Any, step: Any, steps: Any) -> Any:
    """The weights at which the gradient of a step is taken; a training has `steps` of them.

    What is learnt there moves the float32 weights. So the gradient passes the rounding unchanged.

    Source: Bengio et al. 2013, "Estimating or propagating gradients through stochastic neurons"
    (arXiv:1308.3432), Section 3, the straight-through estimator.
    """
    rounded = quantised(weights, tree)
    if not is_quantised(weights) or weights.begin is None:
        return rounded
    is_on = step >= jnp.round(weights.begin * steps)
    return jax.tree.map(lambda new, old: jnp.where(is_on, new, old), rounded, tree)


def quantised(weights: Weights, tree: Any) -> Any:
    """The weights as they are judged and saved; biases and factors of norms are the same arrays."""
    if not is_quantised(weights):
        return tree
    bits: Any = BITS if weights.bits is None else weights.bits

    def one(name: str, array: Array) -> Array:
        if not is_kernel(name, array):
            return array
        return as_integers(array, bits, by_channel=weights.scales == "channel")

    return mapped(one, tree)


def as_integers(
    kernel: Float[Array, "*axes"], bits: Any, *, by_channel: bool = False
) -> Float[Array, "*axes"]:
    """A kernel as whole numbers of these bits times a scale, that of each unit `by_channel`.

    The largest weight decides the scale, so that none is cut off. With zeros around a kernel it is
    the same.

    Source: Jacob et al. 2018, "Quantization and training of neural networks for efficient
    integer-arithmetic-only inference" (arXiv:1712.05877), Section 3, with a range around 0 as in
    Krishnamoorthi 2018, "Quantizing deep convolutional networks" (arXiv:1806.08342), Section 2.2.
    """
    # exp2 may be off by a rounding.
    most = jnp.round(jnp.exp2(jnp.asarray(bits, jnp.float32) - 1)) - 1
    axes = tuple(range(kernel.ndim - 1)) if by_channel else None
    scale = _short(jnp.abs(kernel).max(axes, keepdims=True) / most)
    codes = jnp.clip(jnp.round(kernel / jnp.where(scale == 0, 1.0, scale)), -most, most)
    # A file of whole numbers has no 0 below 0.
    return jnp.where(codes == 0, 0.0, codes * scale)


def _short(scale: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """Scales of 16 binary digits, whose products with whole numbers of 8 bits are exact."""
    digits = lax.bitcast_convert_type(scale, jnp.uint32)
    return lax.bitcast_convert_type((digits + 0x80) & jnp.uint32(0xFFFFFF00), jnp.float32)
