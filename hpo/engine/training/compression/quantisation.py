"""Weights in few bits: `compression.weights`.

A lane keeps its weights in float32, and the model is called with rounded ones. The number of bits
is a number of the program, like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from hpo.engine.training.techniques.layers import is_head, is_kernel, mapped, name_of
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
    paths = jax.tree_util.tree_leaves_with_path(tree)
    kernels = [name for path, array in paths if is_kernel(name := name_of(path), array)]
    bits = bits_by_name(weights, kernels)

    def one(name: str, array: Array) -> Array:
        if name not in bits:
            return array
        return as_integers(array, bits[name], by_channel=weights.scales == "channel")

    return mapped(one, tree)


def bits_by_name(weights: Weights, kernels: Sequence[str]) -> dict[str, Any]:
    """The bits of the kernels of a model, given by their names in the order of its tree."""
    usual = BITS if weights.bits is None else weights.bits
    owns = {name: getattr(weights.layers, place) for name, place in places_of(kernels).items()}
    return {name: usual if own is None else own for name, own in owns.items()}


def places_of(kernels: Sequence[str]) -> dict[str, Literal["first", "middle", "last"]]:
    """Which kernels are in the first layer of a model, and which in the last.

    Our models name the layers that answer, and most of those that read examples. The order of the
    names decides in other models.
    """
    layers = [*dict.fromkeys(map(_layer, kernels))]
    last = {_layer(name) for name in kernels if is_head(name)} or set(layers[-1:])
    others = [layer for layer in layers if layer not in last]
    first = {*_READERS} & {*others} or set(others[:1])
    return {
        name: "last" if _layer(name) in last else "first" if _layer(name) in first else "middle"
        for name in kernels
    }


# Layers of our models that read examples, beside the first one of a list.
_READERS = ("categories", "embedding", "first", "inputs", "positions")


def _layer(name: str) -> str:
    """The layer of an array: `linears/0` of `linears/0/left/kernel`, `first` of `first/kernel`."""
    parts = name.split("/")
    number = next((place for place, part in enumerate(parts) if part.isdecimal()), 0)
    return "/".join(parts[: number + 1])


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
