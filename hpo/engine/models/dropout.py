"""Dropout with a traced rate, from random bits that are cheap even for a small network.

Threefry, JAX's generator, would take half of the time of a step and a quarter of its compile time.
For a mask, a good hash of (key, step, layer, position) is enough: a few operations per word.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, UInt32

from hpo.engine.program import is_off

# Odd and near 2^32 over the golden ratio: multiples of it spread evenly (Knuth, vol. 3, 6.4).
_SPREAD = 0x9E3779B9


class MaskKey(NamedTuple):
    """Two pseudorandom words for each trial and step."""

    start: UInt32[Array, ""]
    stride: UInt32[Array, ""]


def mask_key(key: UInt32[Array, "2"], step: Int[Array, ""]) -> MaskKey:
    """The key of a step's masks, from the trial's own key."""
    first = _mix(key[0] + step.astype(jnp.uint32) * jnp.uint32(_SPREAD))
    second = _mix(first ^ key[1])
    return MaskKey(_mix(second + jnp.uint32(_SPREAD)), second)


def random_words(
    key: MaskKey, layer: int, shape: tuple[int, ...], first_row: Any = 0
) -> UInt32[Array, "..."]:
    """Uniform 32-bit words that depend only on the key, the layer and the position.

    The rows, along the first axis, are counted from `first_row`.
    """
    words = key.start + jnp.uint32((layer * 0x85EBCA6B) & 0xFFFFFFFF)
    words = words + jnp.asarray(first_row, jnp.uint32) * jnp.uint32(_SPREAD)
    for axis in range(len(shape) - 1):
        words = words + lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(
            (_SPREAD * (2 * axis + 1)) & 0xFFFFFFFF
        )
    # Each key has its own odd stride, so that no two steps use the same sequence of words.
    stride = key.stride | jnp.uint32(1)
    return _mix(words + lax.broadcasted_iota(jnp.uint32, shape, len(shape) - 1) * stride)


def standard_normal(key: MaskKey, number: int, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Standard normal numbers that depend only on the key, the array's number and the indices.

    A larger array has the same numbers in its leading corner.
    """
    words = jnp.full(shape, key.start + jnp.uint32((number * 0x85EBCA6B) & 0xFFFFFFFF))
    # One hash an axis: a sum of multiples of indices would give two places the same number.
    for axis in range(len(shape)):
        words = _mix(words + lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(_SPREAD))
    return normal_of(words)


def normal_of(words: UInt32[Array, "..."]) -> Float[Array, "..."]:
    """Standard normal numbers from uniform words; all are finite."""
    # The 23 upper bits; the middle of each interval is never -1 or 1. `ndtri` takes twice the time.
    uniform = (words >> 9).astype(jnp.float32) * 2.0**-22 - jnp.float32(1 - 2.0**-23)
    return jnp.float32(math.sqrt(2)) * lax.erf_inv(uniform)


class Dropout:
    """The dropout of one step of one lane: every layer has a mask of its own.

    If a step processes its batch in parts, `first_row` is the first row of this part.

    Source: Srivastava et al. 2014, "Dropout" (JMLR 15), in the form that scales while training.
    """

    def __init__(self, rate: Any, key: MaskKey | None, first_row: Any = 0) -> None:
        self._rate, self.key, self._first_row = rate, key, first_row

    def with_rate(self, rate: Any) -> Dropout:
        """The dropout of the same step with another rate."""
        return Dropout(rate, self.key, self._first_row)

    def __call__(self, x: Float[Array, "..."], layer: int) -> Float[Array, "..."]:
        """`x` with a share of its elements dropped; `x` itself when evaluating or switched off."""
        if self.key is None or is_off(self._rate):
            return x
        words = random_words(self.key, layer, x.shape, self._first_row)
        # Float32 rounds rates close to 1 to 1, and the gradient would then be 0 * inf.
        rate = jnp.minimum(jnp.asarray(self._rate, jnp.float32), 1 - 2.0**-24)
        keep = words >= (rate * 2.0**32).astype(jnp.uint32)
        return jnp.where(keep, x * (1 / (1 - rate)).astype(x.dtype), jnp.zeros((), x.dtype))

    def of_rows(self, x: Float[Array, "B ..."], layer: int, rate: Any) -> Float[Array, "B ..."]:
        """`x` with a share `rate` of its rows dropped, each as a whole."""
        if self.key is None:
            return x
        factors = self.with_rate(rate)(jnp.ones((x.shape[0], 1), x.dtype), layer)
        return x * factors.reshape(-1, *[1] * (x.ndim - 1))


def dropped(dropout: Dropout, h: Float[Array, "B ..."], layer: int) -> Float[Array, "B ..."]:
    """`h` after dropout, in which no two places of a sequence have the same mask.

    The mask of a place does not depend on how many there are.
    """
    # With an axis of their own, place t of row b would have the mask of place t + 1 of row b - 3.
    return dropout(h.reshape(h.shape[0], -1), layer=layer).reshape(h.shape)


def _mix(word: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """A bijection of 32-bit words in which every input bit flips each output bit half the time.

    Source: C. Wellons, "hash-prospector", the function lowbias32.
    """
    word = (word ^ (word >> 16)) * jnp.uint32(0x7FEB352D)
    word = (word ^ (word >> 15)) * jnp.uint32(0x846CA68B)
    return word ^ (word >> 16)
