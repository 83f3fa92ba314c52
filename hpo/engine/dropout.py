"""Dropout with a traced rate, from cheap random bits (Srivastava et al. 2014)."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from hpo.engine.program import is_off


def random_bytes(key: Array, shape: tuple[int, ...]) -> UInt8[Array, "..."]:
    """Uniform bytes, four from each 32-bit word: a fourth of the cost of drawing them singly."""
    count = math.prod(shape)
    words = jax.random.bits(key, (-(-count // 4),), jnp.uint32)
    return jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(-1)[:count].reshape(shape)


class Dropout:
    """The dropout of one step of one lane; each call is another layer and draws its own mask.

    The rate is rounded to a 256th, and what is kept is scaled by the rounded rate, so the expected
    activation is exact.
    """

    def __init__(self, rate: Any, key: Array | None) -> None:
        self._rate, self._key, self._layer = rate, key, 0

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """`x` with a share of its elements dropped; `x` itself when evaluating or switched off."""
        if self._key is None or is_off(self._rate):
            return x
        key = jax.random.fold_in(self._key, self._layer)
        self._layer += 1
        threshold = jnp.clip(jnp.round(self._rate * 256), 0, 255)
        keep = random_bytes(key, x.shape) >= threshold.astype(jnp.uint8)
        scale = (256 / (256 - threshold)).astype(x.dtype)
        return jnp.where(keep, x * scale, jnp.zeros((), x.dtype))
