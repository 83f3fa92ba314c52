"""Learned vectors of the categories of a table, beside its numbers: `model.embedding`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from hpo.engine.models.abstract import Shapes

# No vector of `auto` is longer.
_LONGEST = 600


class Categories(nnx.Module):  # type: ignore[misc]
    """What a model of tables gets of an example: a learned vector for each code, then the numbers.

    Of examples without codes, it gets the numbers, unchanged and flattened. `width` is the size of
    the result. `vectors` and `numbers` give the two apart, and `vector_width` and `number_width`
    their sizes.

    Source: Guo and Berkhahn 2016, "Entity embeddings of categorical variables", Section 3.
    """

    def __init__(self, size: int | Literal["auto"], shapes: Shapes, rngs: nnx.Rngs) -> None:
        counts = shapes.categories
        sizes = vector_sizes(size, counts)
        # In float32, because a gradient adds up over all rows of a category.
        self.columns = nnx.List(
            [nnx.Embed(n, m, rngs=rngs) for n, m in zip(counts, sizes, strict=True)]
        )
        self.vector_width = sum(sizes)
        self.number_width = math.prod(shapes.example) - len(counts)
        self.width = self.vector_width + self.number_width
        self.dtype = shapes.dtype

    def __call__(self, x: Float[Array, "B ..."]) -> Float[Array, "B N"]:
        """The vectors and the numbers of examples, side by side in the model's precision."""
        if not self.columns:
            return self.numbers(x)
        return jnp.concatenate([self.vectors(x), self.numbers(x)], axis=1)

    def vectors(self, x: Float[Array, "B F"]) -> Float[Array, "B V"]:
        """The vectors of all codes of examples, side by side."""
        codes = x[:, : len(self.columns)].astype(jnp.int32)
        found = [column(codes[:, place]) for place, column in enumerate(self.columns)]
        return jnp.concatenate(found, axis=1).astype(self.dtype)

    def numbers(self, x: Float[Array, "B ..."]) -> Float[Array, "B M"]:
        """The numbers of examples, without their codes."""
        if not self.columns:
            return x.reshape(x.shape[0], -1)
        numbers: Any = x[:, len(self.columns) :].astype(self.dtype)
        return numbers


def vector_sizes(size: int | Literal["auto"], counts: Sequence[int]) -> list[int]:
    """The size of the vectors of columns with these numbers of codes, by `model.embedding`."""
    return [embedding_size(count) if size == "auto" else size for count in counts]


def embedding_size(count: int) -> int:
    """The size of the vectors of a column with that many codes: `model.embedding: auto`.

    Source: Howard and Gugger 2020, "fastai: a layered API for deep learning", `emb_sz_rule`.
    """
    return min(_LONGEST, round(1.6 * count**0.56))
