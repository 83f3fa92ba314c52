"""Random numbers of an augmentation, which depend on the trial, the step and the row alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from hpo.engine.models.dropout import MaskKey, random_words

# Layers of models, whose dropout has the same key, have smaller numbers.
_FIRST = 10_000


class Draws(NamedTuple):
    """The random numbers of `rows` rows of a batch, counted from `first_row`."""

    key: MaskKey
    rows: int
    first_row: Any = 0

    def uniform(self, number: int, shape: tuple[int, ...] = ()) -> Float[Array, "B ..."]:
        """Uniform numbers in [0, 1), an array of this shape for each row; `number` names them."""
        size = 1
        for length in shape:
            size *= length
        words = random_words(self.key, _FIRST + number, (self.rows, size), self.first_row)
        # The 24 upper bits, which float32 holds exactly.
        return ((words >> 8).astype(jnp.float32) * 2.0**-24).reshape(self.rows, *shape)

    def symmetric(self, number: int) -> Float[Array, " B"]:
        """Uniform numbers in [-1, 1), one for each row."""
        return 2 * self.uniform(number) - 1

    def normal(self, number: int, shape: tuple[int, ...]) -> Float[Array, "B ..."]:
        """Standard normal numbers, an array of this shape for each row."""
        return ndtri(self.uniform(number, shape) + jnp.float32(2.0**-25))
