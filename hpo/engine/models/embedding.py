"""Examples as sequences of vectors, for every model of sequences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from hpo.engine.models.abstract import Shapes
from hpo.engine.models.initialisers import Initialiser, unit_vectors
from hpo.errors import HpoError
from hpo.spec.sections.models.sequences import NOT_LOADED

# The id that fills the places after the end of a text in a table (`hpo.data.text.text_fit`).
_PADDING = 0

# The initialiser of the leaf that holds the vectors of the tokens, for a model's `leaves`.
EMBEDDING_LEAVES: Mapping[str, Initialiser] = MappingProxyType({"embedding": unit_vectors})


class Loaded(nnx.Variable):  # type: ignore[misc]
    """Vectors of tokens that stay as they were loaded."""


class Embedding(nnx.Module):  # type: ignore[misc]
    """The vector of each place of an example, and which places are real.

    Ids of tokens `[B, T]` become rows of a table. Its rows are the vectors that the data set has
    loaded, if it has any. A series `[B, T, C]` keeps its numbers. The rows of an image are places
    in order, and so are the columns of a table. With `width`, a linear layer turns vectors of
    another size into vectors of this one; without, `size` tells theirs.
    """

    def __init__(self, spec: Any, shapes: Shapes, rngs: nnx.Rngs, width: int | None = None) -> None:
        if len(shapes.positions) > 1:
            raise HpoError(
                f"model.name: '{spec.name}' answers for each token of a text, and these data need "
                f"an answer for each of {list(shapes.positions)} pixels: use unet."
            )
        # In running text every place is a token.
        self.is_padded = shapes.vocabulary > 0 and not shapes.positions
        is_text = shapes.vocabulary > 0
        size = _token_size(spec, shapes) if is_text else math.prod(shapes.example[1:])
        self.size = size if width is None else width
        self.tokens = _table(shapes, size, spec.freeze_embedding, rngs) if is_text else None
        is_plain = width is None or (is_text and width == size)
        self.linear = (
            None
            if is_plain
            else nnx.Linear(size, width, use_bias=not is_text, dtype=shapes.dtype, rngs=rngs)
        )

    def __call__(
        self, x: Int[Array, "B T"] | Float[Array, "B T ..."]
    ) -> tuple[Float[Array, "B T N"], Bool[Array, "B T"]]:
        """The vectors, and True for every place that is not padding."""
        is_real = x != _PADDING if self.is_padded else jnp.ones(x.shape[:2], bool)
        y = x.reshape(*x.shape[:2], -1) if self.tokens is None else self.tokens(x)
        return (y if self.linear is None else self.linear(y)), is_real


def _table(shapes: Shapes, size: int, freeze: bool, rngs: nnx.Rngs) -> nnx.Embed:
    table = nnx.Embed(shapes.vocabulary, size, dtype=shapes.dtype, rngs=rngs)
    if freeze:
        table.embedding = Loaded(table.embedding[...])
    return table


def _token_size(spec: Any, shapes: Shapes) -> int:
    """The numbers in the vector of a token.

    Raises:
        HpoError: for loaded vectors of another size, or a wish to keep vectors that there are not.
    """
    own, loaded = spec.embedding, shapes.embedding_size
    if spec.freeze_embedding and not loaded:
        raise HpoError(f"model.freeze_embedding: {NOT_LOADED}.")
    if loaded and own not in (None, loaded):
        raise HpoError(
            f"model.embedding: {own}, and the vectors of data.text.embeddings have {loaded} "
            f"numbers: write {loaded}, or leave it out."
        )
    return int(loaded or own or spec.width)


def from_loaded(vectors: Float[np.ndarray, "V N"]) -> Mapping[str, Initialiser]:
    """The initialiser of the vectors of tokens that copies loaded ones.

    The table may have more rows, as those of folds do; they are 0.
    """

    def rows(_: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return np.pad(vectors, [(0, shape[0] - len(vectors)), (0, 0)])

    return {"embedding": rows}


def pooled(h: Float[Array, "B T N"], is_real: Bool[Array, "B T"], how: str) -> Float[Array, "B M"]:
    """The mean, the largest numbers, the first or all of the real places; 0 for none."""
    here = is_real[..., None]
    if how == "all":
        return jnp.where(here, h, 0).reshape(h.shape[0], -1)
    if how == "mean":
        wide = jnp.where(here, h, 0).astype(jnp.float32).sum(1)
        return (wide / jnp.maximum(here.sum(1), 1)).astype(h.dtype)
    if how == "first":
        return jnp.where(here, h, 0)[:, 0]
    largest = jnp.where(here, h, -jnp.inf).max(1)
    return jnp.where(here.any(1), largest, 0).astype(h.dtype)
