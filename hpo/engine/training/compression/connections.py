"""Which weights are cut: a small number for each, changed by the sizes of weights and gradients.

A number says whether a weight may be cut, is kept, or is cut. What pads a narrower model in larger
arrays may not be cut, so it is never counted.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Int8, UInt32

# Biases, factors of norms, frozen layers and padding; a weight that is kept; one that is 0.
FREE, KEPT, CUT = 0, 1, 2
_MOST_BITS = np.uint32(2**32 - 1)
# Above the bits of every size, so that a difference to them orders sizes from the largest on.
_ABOVE_SIZES = np.uint32(2**31)


def smallest_cut(
    connections: Int8[Array, "..."], sizes: Float[Array, "..."], share: Float[Array, ""]
) -> Int8[Array, "..."]:
    """Connections of which this share is cut: those of the smallest sizes, the first of equals.

    Those that are cut already come before all others.
    """
    may_be_cut = connections != FREE
    count = jnp.round(share * may_be_cut.sum()).astype(jnp.int32)
    bits = jnp.where(connections == CUT, 0, _bits(sizes) + 1)
    return _cut_where(lowest(jnp.where(may_be_cut, bits, _MOST_BITS), count), connections)


def unit_cut(
    connections: Int8[Array, "... N M"], sizes: Float[Array, "... N M"], share: Float[Array, ""]
) -> Int8[Array, "... N M"]:
    """Connections of which this share of the units is cut, with all that they read.

    They are those with the smallest sums of sizes; one unit is kept at least.

    Source: Li et al. 2017, "Pruning filters for efficient ConvNets" (arXiv:1608.08710), Section
    3.1.
    """
    inputs = tuple(range(connections.ndim - 1))
    units = connections.max(inputs)  # of a unit that is cut, all may be
    most = 1 - 1 / jnp.maximum((units != FREE).sum(), 1)
    units = smallest_cut(units, jnp.abs(sizes).sum(inputs), jnp.minimum(share, most))
    return jnp.where(connections == FREE, FREE, units).astype(jnp.int8)


def group_cut(
    connections: Int8[Array, "... N M"], sizes: Float[Array, "... N M"], n: int, m: int
) -> Int8[Array, "... N M"]:
    """Connections of which `n` are kept of each `m` consecutive inputs of a unit: the largest.

    A last group with fewer inputs keeps `n` of them, or all.

    Source: Mishra et al. 2021, "Accelerating sparse deep neural networks" (arXiv:2104.08378),
    Section 3.
    """
    *outer, inputs, units = connections.shape
    missing = -inputs % m
    bits = jnp.where(connections == FREE, _MOST_BITS, _bits(sizes))
    ends = [(0, 0)] * len(outer) + [(0, missing), (0, 0)]
    groups = jnp.pad(bits, ends, constant_values=_MOST_BITS)
    groups = groups.reshape(*outer, (inputs + missing) // m, m, units)
    one, other = groups[..., :, None, :], groups[..., None, :, :]
    place = jnp.arange(m)
    is_earlier = (place[None, :] < place[:, None])[..., None]
    rank = ((other < one) | ((other == one) & is_earlier)).sum(-2)
    own = (groups != _MOST_BITS).sum(-2, keepdims=True)
    is_cut = (rank < own - n).reshape(*outer, inputs + missing, units)
    return _cut_where(is_cut[..., :inputs, :], connections)


def replaced(
    connections: Int8[Array, "..."],
    sizes: Float[Array, "..."],
    scores: Float[Array, "..."],
    part: Float[Array, ""],
) -> Int8[Array, "..."]:
    """Connections of which this part of the kept ones is cut, and the same number grows instead.

    Those of the smallest sizes are cut, and those of the highest scores grow. One that has just
    been cut may grow again.

    Source: Evci et al. 2020, "Rigging the lottery" (arXiv:1911.11134), Algorithm 1.
    """
    is_kept = connections == KEPT
    count = jnp.round(part * is_kept.sum()).astype(jnp.int32)
    dropped = lowest(jnp.where(is_kept, _bits(sizes), _MOST_BITS), count)
    may_grow = (connections == CUT) | dropped
    grown = lowest(jnp.where(may_grow, _ABOVE_SIZES - _bits(scores), _MOST_BITS), count)
    return _cut_where(~((is_kept & ~dropped) | grown), connections)


def lowest(numbers: UInt32[Array, "..."], count: Int[Array, ""]) -> Bool[Array, "..."]:
    """Which are the `count` lowest of some whole numbers, the first of equals.

    The highest of them is found by halving its range 32 times, which is quicker than a sort.
    """

    def halved(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = low + (high - low) // 2
        is_enough = (numbers <= middle).sum() >= count
        return jnp.where(is_enough, low, middle + 1), jnp.where(is_enough, middle, high)

    ends = jnp.zeros((), jnp.uint32), jnp.full((), _MOST_BITS)
    _, highest = lax.fori_loop(0, 32, halved, ends)
    below, equal = numbers < highest, numbers == highest
    number = jnp.cumsum(equal.ravel()).reshape(equal.shape)
    return below | (equal & (number <= count - below.sum()))


def random_cut(
    connections: Int8[np.ndarray, "..."], share: float, rng: np.random.Generator
) -> Int8[np.ndarray, "..."]:
    """Connections on the host of which this share, drawn at random, is cut."""
    after, places = connections.copy(), np.flatnonzero(connections != FREE)
    count = int(np.round(np.float32(share) * np.float32(len(places))))
    after.flat[rng.permutation(places)[:count]] = CUT
    return after


def _bits(sizes: Float[Array, "..."]) -> UInt32[Array, "..."]:
    """Whole numbers in the order of the sizes."""
    return lax.bitcast_convert_type(jnp.abs(sizes).astype(jnp.float32), jnp.uint32)


def _cut_where(is_cut: Bool[Array, "..."], connections: Int8[Array, "..."]) -> Int8[Array, "..."]:
    after = jnp.where(is_cut, CUT, KEPT)
    return jnp.where(connections == FREE, FREE, after).astype(jnp.int8)
