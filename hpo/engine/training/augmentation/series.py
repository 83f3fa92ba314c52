"""Series changed at random: their size, and how fast time runs in them.

Sources: Um et al. 2017, "Data augmentation of wearable sensor data for Parkinson's disease
monitoring using convolutional neural networks" (arXiv:1706.00527), Section 3; Le Guennec et al.
2016, "Data augmentation for time series classification using convolutional neural networks",
Section 3, for a window.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from hpo.engine.training.augmentation.draws import Draws


def with_magnitude(
    x: Float[Array, "B ..."], share: Any, draws: Draws, codes: int
) -> Float[Array, "B ..."]:
    """Examples multiplied by a random factor each; the first `codes` columns stay."""
    factor = (1 + share * draws.symmetric(28)).reshape(-1, *[1] * (x.ndim - 1))
    found = x * factor
    return found.at[:, :codes].set(x[:, :codes]) if codes else found


def with_warp(x: Float[Array, "B T C"], share: Any, draws: Draws) -> Float[Array, "B T C"]:
    """Series read at warped times, linear between them; their first and last times stay.

    A half of a sine is added to time, whose slope is at most the share, so that time never turns.
    """
    length = x.shape[1]
    last, times = max(length - 1, 1), jnp.arange(length)
    bend = last / jnp.pi * jnp.sin(jnp.pi * times / last)
    return _read(x, times + share * draws.symmetric(29)[:, None] * bend)


def with_window_warp(x: Float[Array, "B T C"], chance: Any, draws: Draws) -> Float[Array, "B T C"]:
    """Series in which a drawn tenth of the time runs half or twice as fast, at this chance.

    They are read at evenly spaced times of the longer or shorter series, linear between its own.
    """
    last = max(x.shape[1] - 1, 1)
    is_warped, is_slow, at = jnp.moveaxis(draws.uniform(31, (3,)), 1, 0)[..., None]
    window = last / 10
    factor = jnp.where(is_slow < 0.5, 2.0, 0.5)  # of the window's length
    start = at * (last - window)
    times = jnp.arange(x.shape[1])
    spread = times * (last + window * (factor - 1)) / last
    inside = start + (spread - start) / factor
    after = spread - window * (factor - 1)
    places = jnp.where(spread < start, spread, jnp.where(inside < start + window, inside, after))
    return _read(x, jnp.where(is_warped < chance, places, times))


def _read(x: Float[Array, "B T C"], places: Float[Array, "B T"]) -> Float[Array, "B T C"]:
    """Series read at times between their own, linear between them."""
    length = x.shape[1]
    places = jnp.clip(places, 0, length - 1)
    before = jnp.floor(places).astype(jnp.int32)
    after = jnp.minimum(before + 1, length - 1)
    weight = (places - before)[..., None]
    one, other = (jnp.take_along_axis(x, at[..., None], axis=1) for at in (before, after))
    return one * (1 - weight) + other * weight
