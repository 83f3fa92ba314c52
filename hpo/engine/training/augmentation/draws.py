"""Random numbers of an augmentation, which depend on the trial, the step and the row alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt32

from hpo.engine.models.dropout import MaskKey, normal_of, random_words

# Layers of models, whose dropout has the same key, have smaller numbers.
_FIRST = 10_000


class Draws(NamedTuple):
    """The random numbers of `rows` rows of a batch, counted from `first_row`.

    `at_ends` says by number in which rows a symmetric one is at an end of its range.
    """

    key: MaskKey
    rows: int
    first_row: Any = 0
    at_ends: Mapping[int, Bool[Array, " B"]] = MappingProxyType({})

    def uniform(self, number: int, shape: tuple[int, ...] = ()) -> Float[Array, "B ..."]:
        """Uniform numbers in [0, 1), an array of this shape for each row; `number` names them."""
        # The 24 upper bits, which float32 holds exactly.
        return (self._words(number, shape) >> 8).astype(jnp.float32) * 2.0**-24

    def symmetric(self, number: int) -> Float[Array, " B"]:
        """Uniform numbers in [-1, 1), one for each row; -1 or 1 where at an end."""
        found = 2 * self.uniform(number) - 1
        if number not in self.at_ends:
            return found
        return jnp.where(self.at_ends[number], jnp.where(found < 0, -1.0, 1.0), found)

    def normal(self, number: int, shape: tuple[int, ...]) -> Float[Array, "B ..."]:
        """Standard normal numbers, an array of this shape for each row."""
        return normal_of(self._words(number, shape))

    def _words(self, number: int, shape: tuple[int, ...]) -> UInt32[Array, "B ..."]:
        size = math.prod(shape)
        words = random_words(self.key, _FIRST + number, (self.rows, size), self.first_row)
        return words.reshape(self.rows, *shape)
