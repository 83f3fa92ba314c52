"""Sizes of models, from their specs, for the estimated costs of programs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hpo import registry
from hpo.engine.models.abstract import Shapes, build
from hpo.engine.oneof import options_of
from hpo.spec.code.frames import CodeError
from hpo.spec.code.own_model import OwnModel
from hpo.spec.sections import model as specs


class Size(NamedTuple):
    """Weights of a model, and its multiplications for one example (forward)."""

    weights: int
    dense: int
    convolved: int = 0


def layer_sizes(options: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The width of each layer that holds all options; a shallower option repeats its last width."""
    depth = max((len(widths) for widths in options), default=0)
    return tuple(max(widths[min(i, len(widths) - 1)] for widths in options) for i in range(depth))


def model_size(spec: Any, example_shape: Sequence[int], outputs: int) -> Size:
    """The size of a model, or of the widest of those that its `OneOf` leaves allow.

    A model whose entry names no `size` counts as dense: each matrix is used once for an example.
    One of a user's own that cannot be built counts as nothing.
    """
    size = "" if isinstance(spec, OwnModel) else registry.MODELS[spec.name].size
    if size:
        return registry.load(size)(spec, example_shape, outputs)
    shapes = Shapes(tuple(example_shape), outputs, "cpu", jnp.float32)
    try:
        leaves = jax.tree.leaves(build(spec, shapes).params)
    except CodeError:  # the trial that has this model tells it
        return Size(0, 0)
    return Size(
        sum(math.prod(leaf.shape) for leaf in leaves),
        sum(math.prod(leaf.shape) for leaf in leaves if len(leaf.shape) > 1),
    )


def mlp_size(spec: specs.Mlp, example_shape: Sequence[int], outputs: int) -> Size:
    sizes = (math.prod(example_shape), *layer_sizes(options_of(spec.widths)), outputs)
    weights = sum(n * m for n, m in itertools.pairwise(sizes))
    return Size(weights, weights)


def cnn_size(spec: specs.Cnn, example_shape: Sequence[int], outputs: int) -> Size:
    height, width, channels = example_shape
    weights = convolved = 0
    for filters in spec.filters:
        kernel = spec.kernel**2 * channels * filters
        weights, convolved = weights + kernel, convolved + kernel * height * width
        height, width, channels = max(height // 2, 1), max(width // 2, 1), filters
    dense = max(options_of(spec.dense))
    head = height * width * channels * dense + dense * outputs
    return Size(weights + head, head, convolved)
