"""Rows of a batch mixed with other rows of it, which are those some places further on."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Num

from hpo.engine.training.augmentation.draws import Draws


def with_swaps(x: Float[Array, "B F"], share: Any, draws: Draws) -> Float[Array, "B F"]:
    """Rows in which a share of the numbers is that of the same column of another row."""
    others = x[_turned(draws.rows, draws)]
    return jnp.where(draws.uniform(10, x.shape[1:]) < share, others, x)


def with_kin(
    x: Float[Array, "B ..."], y: Num[Array, " B"], share: Any, draws: Draws
) -> Float[Array, "B ..."]:
    """A share of the examples mixed with one of their own class, with a uniform weight.

    Its class stays as it is.
    """
    kin = x[partners(y, draws)]
    is_mixed = draws.uniform(11) < share
    weight = jnp.where(is_mixed, draws.uniform(12), 0.0)
    weight = weight.reshape(-1, *[1] * (x.ndim - 1))
    return x + weight * (kin - x)


def partners(y: Num[Array, " B"], draws: Draws) -> Int[Array, " B"]:
    """For each row another row of its class, or itself where the batch has no other."""
    count = draws.rows
    turned = _turned(count, draws)
    # How far a row is after the place from which each row looks; its own place comes last.
    ahead = (jnp.arange(count)[None, :] - turned[:, None]) % count
    ahead = jnp.where(jnp.eye(count, dtype=bool), count, ahead)
    return jnp.where(y[:, None] == y[None, :], ahead, count + 1).argmin(1)


def _turned(count: int, draws: Draws) -> Int[Array, " B"]:
    """The place of each row's partner, the same number of places on for all rows of a step."""
    steps = 1 + (draws.uniform(13)[0] * (count - 1)).astype(jnp.int32)
    return (jnp.arange(count) + steps) % count
