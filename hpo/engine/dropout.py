"""Dropout with a traced rate, from random bits that cost next to nothing.

Threefry, JAX's generator, takes as long for a small network's masks as half of its training step.
A mask needs no more than a good hash of (key, layer, position), which is eight operations a word.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32

from hpo.engine.program import is_off


def random_words(
    key: UInt32[Array, " 2"], layer: int, shape: tuple[int, ...]
) -> UInt32[Array, "..."]:
    """Uniform 32-bit words, a function of the key, the layer and the position alone.

    `key` is Threefry key data, and so itself as good as random.
    """
    # Odd constants near 2^32 over the golden ratio spread counters evenly (Knuth, vol. 3, 6.4).
    positions = jax.lax.iota(jnp.uint32, math.prod(shape)) * jnp.uint32(0x9E3779B9)
    words = _mix(positions + key[0] + jnp.uint32(layer * 0x85EBCA6B & 0xFFFFFFFF))
    return _mix(words ^ key[1]).reshape(shape)


class Dropout:
    """The dropout of one step of one lane; each call is another layer and draws its own mask.

    Source: Srivastava et al. 2014, "Dropout" (JMLR 15), in the form that scales while training.
    """

    def __init__(self, rate: Any, key: Array | None) -> None:
        self._rate, self._key, self._layer = rate, key, 0

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """`x` with a share of its elements dropped; `x` itself when evaluating or switched off."""
        if self._key is None or is_off(self._rate):
            return x
        words = random_words(jax.random.key_data(self._key), self._layer, x.shape)
        self._layer += 1
        # Below 1, which float32 would round the last few rates to: the gradient would be 0 * inf.
        rate = jnp.minimum(jnp.asarray(self._rate, jnp.float32), 1 - 2.0**-24)
        keep = words >= (rate * 2.0**32).astype(jnp.uint32)
        return jnp.where(keep, x * (1 / (1 - rate)).astype(x.dtype), jnp.zeros((), x.dtype))


def _mix(word: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """A bijection of 32-bit words in which every input bit flips each output bit half the time.

    Source: C. Wellons, "hash-prospector", the function lowbias32.
    """
    word = (word ^ (word >> 16)) * jnp.uint32(0x7FEB352D)
    word = (word ^ (word >> 15)) * jnp.uint32(0x846CA68B)
    return word ^ (word >> 16)
