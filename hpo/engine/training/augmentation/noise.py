"""Noise in examples: normal noise, blank squares of images, and dropped numbers of tables."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from hpo.engine.training.augmentation.draws import Draws


def with_noise(
    x: Float[Array, "B ..."], deviation: Any, draws: Draws, codes: int
) -> Float[Array, "B ..."]:
    """Examples with normal noise of this deviation; the first `codes` columns stay."""
    noise = deviation * draws.normal(6, x.shape[1:])
    return x + _but_codes(noise, codes, 0.0)


def with_hole(x: Float[Array, "B H W C"], share: Any, draws: Draws) -> Float[Array, "B H W C"]:
    """Images with a square of 0, of this share of their sides, around a random pixel.

    Source: DeVries and Taylor 2017, "Cutout" (arXiv:1708.04552), Section 3.2.
    """
    is_hole = jnp.ones((x.shape[0], 1, 1), bool)
    for axis, number in ((1, 7), (2, 8)):
        size = x.shape[axis]
        middle = draws.uniform(number) * size
        places = jnp.arange(size) + 0.5
        inside = jnp.abs(places - middle[:, None]) < share * size / 2
        is_hole = is_hole & jnp.expand_dims(inside, 3 - axis)
    return jnp.where(is_hole[..., None], 0.0, x)


def without_numbers(
    x: Float[Array, "B F"], share: Any, draws: Draws, codes: int
) -> Float[Array, "B F"]:
    """Rows in which a share of the numbers, but not of the codes, is 0."""
    kept = _but_codes(draws.uniform(9, x.shape[1:]), codes, 1.0) >= share
    return jnp.where(kept, x, 0.0)


def _but_codes(values: Array, codes: int, neutral: float) -> Array:
    """Values of which those of the first columns, which hold codes of categories, are neutral."""
    return values.at[:, :codes].set(neutral) if codes else values
