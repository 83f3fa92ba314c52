"""Random numbers of an augmentation, which depend on the trial, the step and the row alone."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32

from hpo.engine.models.dropout import MaskKey, normal_of, random_words

# Layers of models, whose dropout has the same key, have smaller numbers.
_FIRST = 10_000


class Draws(NamedTuple):
    """The random numbers of `rows` rows of a batch, counted from `first_row`."""

    key: MaskKey
    rows: int
    first_row: Any = 0

    def uniform(self, number: int, shape: tuple[int, ...] = ()) -> Float[Array, "B ..."]:
        """Uniform numbers in [0, 1), an array of this shape for each row; `number` names them."""
        # The 24 upper bits, which float32 holds exactly.
        return (self._words(number, shape) >> 8).astype(jnp.float32) * 2.0**-24

    def symmetric(self, number: int) -> Float[Array, " B"]:
        """Uniform numbers in [-1, 1), one for each row."""
        return 2 * self.uniform(number) - 1

    def normal(self, number: int, shape: tuple[int, ...]) -> Float[Array, "B ..."]:
        """Standard normal numbers, an array of this shape for each row."""
        return normal_of(self._words(number, shape))

    def _words(self, number: int, shape: tuple[int, ...]) -> UInt32[Array, "B ..."]:
        size = math.prod(shape)
        words = random_words(self.key, _FIRST + number, (self.rows, size), self.first_row)
        return words.reshape(self.rows, *shape)
