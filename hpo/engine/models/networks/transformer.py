"""The transformer: an encoder for classes and values, a causal decoder for language."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Num

from hpo.engine.models.abstract import Shapes
from hpo.engine.models.attention import Attention, earlier, head_size, sinusoids
from hpo.engine.models.dropout import Dropout, dropped
from hpo.engine.models.embedding import EMBEDDING_LEAVES, Embedding, pooled
from hpo.engine.models.initialisers import Initialiser
from hpo.engine.models.layers import (
    LayerNorm,
    activated,
    kernel_weights,
    rematerialised,
    skipped,
)
from hpo.engine.models.sizes import Size
from hpo.errors import HpoError
from hpo.spec.sections.models.sequences import NO_NEXT_TOKEN
from hpo.spec.sections.models.sequences import Transformer as TransformerSpec


class Transformer(nnx.Module):  # type: ignore[misc]
    """`transformer`: embedding, positions, `depth` blocks of attention, and a linear head.

    Each place of a running text answers for itself and sees no later one. Otherwise all places see
    each other, but for padding, and the head reads their mean or the first one.

    Source: Vaswani et al. 2017, "Attention is all you need" (arXiv:1706.03762); layer
    normalisation before each part: Xiong et al. 2020, "On layer normalization in the transformer
    architecture" (arXiv:2002.04745); tied embeddings: Press and Wolf 2017, "Using the output
    embedding to improve language models" (arXiv:1608.05859); shared layers: Dehghani et al. 2019,
    "Universal transformers" (arXiv:1807.03819), with one encoding of places instead of one a layer.
    """

    leaves: ClassVar[Mapping[str, Initialiser]] = MappingProxyType(
        {**EMBEDDING_LEAVES, "positions": EMBEDDING_LEAVES["embedding"]}
    )

    def __init__(self, spec: TransformerSpec, shapes: Shapes, rngs: nnx.Rngs) -> None:
        self.is_causal = bool(shapes.positions)
        self.embedding = Embedding(spec, shapes, rngs, spec.width)
        # Loaded vectors have a scale of their own.
        self.is_scaled = bool(shapes.vocabulary and not shapes.embedding_size)
        table = (shapes.example[0], spec.width)
        is_learned = spec.positions == "learned"
        self.positions = nnx.Param(jnp.zeros(table)) if is_learned else None
        count = 1 if spec.share_layers else spec.depth
        self.blocks = nnx.List([Block(spec, shapes.dtype, rngs) for _ in range(count)])
        self.norm = LayerNorm(spec.width, shapes.dtype) if spec.norm_first else None
        if spec.tie_embeddings:
            _check_tied(spec, shapes, self.embedding)
            self.bias = nnx.Param(jnp.zeros((shapes.outputs,)))
        else:
            read = _head_width(spec, shapes.example[0], is_language=self.is_causal)
            self.head = nnx.Linear(read, shapes.outputs, dtype=shapes.dtype, rngs=rngs)

    def __call__(
        self, x: Num[Array, "B T ..."], spec: TransformerSpec, *, train: bool, dropout: Dropout
    ) -> Float[Array, "B ..."]:
        """Logits, or predictions of a regression; of a running text those of each place."""
        h, is_real = self.embedding(x)
        h = dropped(dropout, self._placed(h, spec), 0)
        seen = earlier(x.shape[1]) if self.is_causal else is_real[:, None, None]

        def at(index: int) -> Callable[[Block, Array], Array]:
            return lambda block, h: block(h, spec, seen, dropout, index)

        for index in range(spec.depth):
            h = rematerialised(spec, self.blocks[0 if spec.share_layers else index], at(index), h)
        if self.norm is not None:
            h = self.norm(h, spec.width)
        if not self.is_causal:
            h = pooled(h, is_real, spec.pool)
        if self.embedding.tokens is None or not spec.tie_embeddings:
            return self.head(h)
        return self.embedding.tokens.attend(h) + self.bias[...].astype(h.dtype)

    def _placed(self, h: Float[Array, "B T N"], spec: TransformerSpec) -> Float[Array, "B T N"]:
        """The vectors of places, in which their positions can be read."""
        scale = math.sqrt(spec.width) if self.is_scaled else 1.0
        if self.positions is not None:
            h = h + self.positions[: h.shape[1]].astype(h.dtype)
        h = h * scale
        if spec.positions == "sinusoid":
            h = h + jnp.asarray(sinusoids(h.shape[1], spec.width), h.dtype)
        return h


class Block(nnx.Module):  # type: ignore[misc]
    """Attention, and a feed-forward layer at each place, each added to its input."""

    def __init__(self, spec: TransformerSpec, dtype: Any, rngs: nnx.Rngs) -> None:
        is_rotary = spec.positions == "rotary"
        self.attend = Attention(spec.width, spec.heads, dtype, rngs, rotary=is_rotary)
        self.wide = nnx.Linear(spec.width, _feed(spec), dtype=dtype, rngs=rngs)
        self.narrow = nnx.Linear(_feed(spec), spec.width, dtype=dtype, rngs=rngs)
        self.norms = nnx.List([LayerNorm(spec.width, dtype) for _ in range(2)])

    def __call__(
        self,
        h: Float[Array, "B T N"],
        spec: TransformerSpec,
        seen: Bool[Array, "#B 1 #T T"],
        dropout: Dropout,
        block: int,
    ) -> Float[Array, "B T N"]:
        """The places after the block of this index."""

        def fed(h: Array) -> Array:
            return self.narrow(activated(spec, self.wide(h), _feed(spec)))

        for part, run in enumerate((lambda h: self.attend(h, seen), fed)):
            norm = self.norms[part]
            inner = run(norm(h, spec.width) if spec.norm_first else h)
            inner = dropped(dropout, inner, 2 * block + 1 + part)
            h = h + skipped(spec, dropout, inner, block, spec.depth, part)
            if not spec.norm_first:
                h = norm(h, spec.width)
        return h


def _check_tied(spec: TransformerSpec, shapes: Shapes, embedding: Embedding) -> None:
    """Refuse to tie an embedding to a head that it does not fit.

    Raises:
        HpoError: where outputs are not the next token, or vectors are of another size than `width`.
    """
    if not (shapes.vocabulary and shapes.positions):
        raise HpoError(f"model.tie_embeddings: {NO_NEXT_TOKEN}.")
    if embedding.linear is not None:
        raise HpoError(
            f"model.tie_embeddings: true needs embeddings as wide as the model, and model.width is "
            f"{spec.width}: leave model.embedding out."
        )


def _head_width(spec: TransformerSpec, places: int, *, is_language: bool) -> int:
    """The numbers that the head reads."""
    return spec.width * (places if spec.pool == "all" and not is_language else 1)


def _feed(spec: TransformerSpec) -> int:
    return 4 * spec.width if spec.feed is None else spec.feed


def transformer_size(
    spec: TransformerSpec,
    example_shape: Sequence[int],
    outputs: int,
    vocabulary: int = 0,
    embedding_size: int = 0,
) -> Size:
    """The size of a `transformer`, whose weights all places use."""
    places, rest, width = example_shape[0], math.prod(example_shape[1:]), spec.width
    inner = spec.heads * head_size(spec.width, spec.heads, rotary=spec.positions == "rotary")
    pairs = ((width, 3 * inner), (inner, width), (width, _feed(spec)), (_feed(spec), width))
    block = sum(kernel_weights(n, m, spec.rank) for n, m in pairs)
    size = (embedding_size or spec.embedding or spec.width) if vocabulary else rest
    is_read = not vocabulary or size != width
    linear = kernel_weights(size, width, spec.rank) if is_read else 0
    positions = places * spec.width if spec.positions == "learned" else 0
    is_language = vocabulary == outputs and len(example_shape) == 1
    head = _head_width(spec, places, is_language=is_language) * outputs
    own = (1 if spec.share_layers else spec.depth) * block
    weights = vocabulary * size + linear + positions + own + (0 if spec.tie_embeddings else head)
    # Each place multiplies its query with all keys, and its weights with all values.
    dense = places * spec.depth * (block + 2 * places * inner)
    dense += places * linear
    return Size(weights, dense + (places if is_language else 1) * head)
