"""Layers and functions that several models share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
from flax import nnx
from jaxtyping import Array, Float

Activation: TypeAlias = Callable[[Float[Array, "..."]], Float[Array, "..."]]

ACTIVATIONS: dict[str, Activation] = {
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "tanh": jax.numpy.tanh,
    "elu": jax.nn.elu,
    "leaky_relu": jax.nn.leaky_relu,
}


def norm_layers(norm: str, sizes: tuple[int, ...], dtype: Any, rngs: nnx.Rngs) -> nnx.List:
    """One normalisation layer for each size; none at all where `norm` is "none"."""
    if norm == "batch":
        # PyTorch's momentum: a short epoch has too few steps for Flax's 0.99 to catch up.
        return nnx.List([nnx.BatchNorm(n, momentum=0.9, dtype=dtype, rngs=rngs) for n in sizes])
    if norm == "layer":
        return nnx.List([nnx.LayerNorm(n, dtype=dtype, rngs=rngs) for n in sizes])
    return nnx.List([])


def normalised(norms: nnx.List, index: int, x: Array, train: bool) -> Array:
    """`x` through the layer's norm, with the batch's own statistics while training."""
    if not norms:
        return x
    norm = norms[index]
    if isinstance(norm, nnx.BatchNorm):
        return norm(x, use_running_average=not train)
    return norm(x)
