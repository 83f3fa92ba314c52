"""Sizes of models, from their specs, for the estimated costs of programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hpo import registry
from hpo.engine.models.abstract import Shapes, build
from hpo.engine.models.categories import vector_sizes
from hpo.engine.oneof import number_of, options_of
from hpo.spec.code.frames import CodeError
from hpo.spec.code.own_model import OwnModel
from hpo.spec.merging import UpTo


class Size(NamedTuple):
    """Weights of a model, and its multiplications for one example (forward)."""

    weights: int
    dense: int
    convolved: int = 0


def layer_sizes(options: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The width of each layer that holds all options; a shallower option repeats its last width."""
    depth = max((len(widths) for widths in options), default=0)
    return tuple(max(widths[min(i, len(widths) - 1)] for widths in options) for i in range(depth))


def width_of(widths: Any, layer: int) -> Any:
    """The width of a layer of a trial; of one that it lacks, that of its last. May be traced."""
    if isinstance(widths, UpTo):
        return widths.own[layer]
    return number_of(widths, lambda sizes: sizes[min(layer, len(sizes) - 1)])


def depth_of(widths: Any) -> Any:
    """The number of layers of a trial; may be traced."""
    return widths.depth if isinstance(widths, UpTo) else number_of(widths, len)


def fewest_layers(widths: Any) -> int:
    """The number of layers that every trial of a program has."""
    return widths.fewest if isinstance(widths, UpTo) else min(map(len, options_of(widths)))


def model_size(
    spec: Any,
    example_shape: Sequence[int],
    outputs: int,
    vocabulary: int = 0,
    categories: Sequence[int] = (),
    embedding_size: int = 0,
) -> Size:
    """The size of a model, or of the widest of those that its `OneOf` leaves allow.

    A model whose entry names no `size` counts as dense: each matrix is used once for an example.
    One of a user's own that cannot be built counts as nothing. The sizes of models of tokens
    depend on the `vocabulary` and on the size of loaded vectors, too. The vectors of `categories`
    are looked up, not multiplied.
    """
    entry = None if isinstance(spec, OwnModel) else registry.MODELS[spec.name]
    if categories and entry is not None and entry.takes_categories:
        sizes = vector_sizes(spec.embedding, categories)
        inputs = math.prod(example_shape) - len(sizes) + sum(sizes)
        inner = model_size(spec, (inputs,), outputs)
        return inner._replace(weights=inner.weights + sum(map(mul, categories, sizes)))
    if entry is not None and entry.size:
        more = (vocabulary, embedding_size) if entry.takes_tokens else ()
        return registry.load(entry.size)(spec, example_shape, outputs, *more)
    shapes = Shapes(
        tuple(example_shape),
        outputs,
        "cpu",
        jnp.float32,
        vocabulary=vocabulary,
        embedding_size=embedding_size,
    )
    try:
        leaves = jax.tree.leaves(build(spec, shapes).params)
    except CodeError:  # the trial that has this model tells it
        return Size(0, 0)
    return Size(
        sum(math.prod(leaf.shape) for leaf in leaves),
        sum(math.prod(leaf.shape) for leaf in leaves if len(leaf.shape) > 1),
    )
