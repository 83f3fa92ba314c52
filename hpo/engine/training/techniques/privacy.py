"""The section `privacy`: DP-SGD, whose batches hold each row by chance.

Source: Abadi et al. 2016, "Deep learning with differential privacy" (arXiv:1607.00133),
Algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from hpo.engine.training.techniques.gradients import Moment, standard_noise
from hpo.engine.training.techniques.layers import Layers

# Loss and gradient of the row at a place of the data, which is at a place of the batch.
OfRow: TypeAlias = Callable[[Any, Any], tuple[Float[Array, ""], Float[Array, " P"]]]

# The chance that a batch has more rows than its arrays hold.
_OVERFLOW = 1e-12
# Rows whose gradients are in memory together.
_TOGETHER = 16
# Gradients, weights and augmentations have other numbers.
_NOISE = 40_000


def batch_places(rows: int, size: int) -> int:
    """The places for rows in a batch that has each of `rows` with the chance size / rows.

    More rows than that come with a chance below 1e-12, by Chernoff's bound; they are left out.
    """
    rate, most = size / rows, size
    while most < rows and _chance_above(most / rows, rate) ** rows > _OVERFLOW:
        most += 1
    return min(rows, math.ceil(most / _TOGETHER) * _TOGETHER) if most < rows else rows


def _chance_above(share: float, rate: float) -> float:
    """The base of Chernoff's bound of a binomial share: exp of minus the divergence."""
    return (rate / share) ** share * ((1 - rate) / (1 - share)) ** (1 - share)


def drawn_rows(rng: np.random.Generator, rows: int, size: int, steps: int) -> np.ndarray:
    """The rows of each step, int32 `[steps, places]`; -1 for a place without a row.

    Each step has each row with the chance size / rows, whatever other rows and steps have.
    """
    places = batch_places(rows, size)
    found = np.full((steps, places), -1, np.int32)
    for step, count in enumerate(rng.binomial(rows, size / rows, steps)):
        held = min(count, places)
        found[step, :held] = rng.choice(rows, held, replace=False)
    return found


def private_gradient(
    clip: Any,
    noise: Any,
    of_row: OfRow,
    rows: Int[Array, " B"],
    size: int,
    layers: Layers,
    params: Float[Array, " P"],
    moment: Moment,
) -> tuple[Float[Array, ""], Float[Array, " P"]]:
    """Mean loss of the rows of a batch, and the sum of their clipped gradients with noise / size.

    Gradients of a few rows are in memory together.
    """
    together = math.gcd(rows.shape[0], _TOGETHER)

    def clipped(row: Any, place: Any) -> tuple[Array, Array]:
        loss, gradient = of_row(jnp.maximum(row, 0), place)
        scale = jnp.minimum(1.0, clip / jnp.maximum(jnp.linalg.norm(gradient), 1e-12))
        is_there = row >= 0
        return jnp.where(is_there, loss, 0.0), jnp.where(is_there, scale, 0.0) * gradient

    def add(part: Any, sums: tuple[Array, Array]) -> tuple[Array, Array]:
        places = part * together + jnp.arange(together)
        losses, gradients = jax.vmap(clipped)(rows[places], places)
        return sums[0] + losses.sum(), sums[1] + gradients.sum(0)

    zeros = jnp.zeros(()), jnp.zeros_like(params)
    loss, total = lax.fori_loop(0, rows.shape[0] // together, add, zeros)
    total = total + noise * clip * standard_noise(params, layers, moment, _NOISE)
    return loss / jnp.maximum((rows >= 0).sum(), 1), total / size
