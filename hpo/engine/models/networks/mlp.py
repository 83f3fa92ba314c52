"""The multi-layer perceptron."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from hpo.engine.models.abstract import Shapes
from hpo.engine.models.categories import Categories
from hpo.engine.models.dropout import Dropout
from hpo.engine.models.layers import (
    activated,
    bounded,
    has_bias,
    kernel_weights,
    norm_layers,
    normalised,
)
from hpo.engine.models.sizes import Size, depth_of, fewest_layers, layer_sizes, width_of
from hpo.engine.oneof import options_of
from hpo.spec.sections.models.tables import Mlp as MlpSpec


class Mlp(nnx.Module):  # type: ignore[misc]
    """`mlp`: linear, norm, activation and dropout for each of `widths`, then a linear head.

    If a program serves several widths, each layer is as wide as the widest. Padding weights stay 0,
    because their inputs and gradients are 0.
    """

    resized: ClassVar[tuple[str, ...]] = ("linears",)

    def __init__(self, spec: MlpSpec, shapes: Shapes, rngs: nnx.Rngs) -> None:
        outputs, dtype = shapes.outputs, shapes.dtype
        self.categories = Categories(spec.embedding, shapes, rngs)
        inputs = self.categories.width
        sizes = layer_sizes(options_of(spec.widths))
        use_bias = has_bias(spec)
        self.linears = nnx.List(
            [
                nnx.Linear(n, m, use_bias=use_bias, dtype=dtype, rngs=rngs)
                for n, m in itertools.pairwise((inputs, *sizes))
            ]
        )
        self.norms = norm_layers(spec.norm, sizes, dtype, rngs)
        self.head = nnx.Linear((inputs, *sizes)[-1], outputs, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B ..."], spec: MlpSpec, *, train: bool, dropout: Dropout
    ) -> Float[Array, "B K"]:
        """Logits, or predictions of a regression."""

        def layer(i: int, x: Array) -> Array:
            width = width_of(spec.widths, i)
            x = normalised(self.norms, i, self.linears[i](x), width, train)
            return dropout(activated(spec, x, width), layer=i)

        x = self.categories(x)
        shallowest = fewest_layers(spec.widths)
        for i, size in enumerate(layer_sizes(options_of(spec.widths))):
            if i < shallowest:
                x = layer(i, x)
            else:
                is_there = i < depth_of(spec.widths)
                x = lax.cond(is_there, partial(layer, i), partial(_resized, size=size), x)
        return bounded(spec.output, self.head(x))


def _resized(x: Float[Array, "B N"], size: int) -> Float[Array, "B M"]:
    """`x` with zeros added at its end, or removed from it."""
    return jnp.pad(x, ((0, 0), (0, max(0, size - x.shape[1]))))[:, :size]


def mlp_size(spec: MlpSpec, example_shape: Sequence[int], outputs: int) -> Size:
    """The size of an `mlp`, or of the widest that its `OneOf` leaves allow."""
    sizes = (math.prod(example_shape), *layer_sizes(options_of(spec.widths)))
    layers = itertools.pairwise(sizes)
    hidden = sum(kernel_weights(n, m, spec.rank, resized=True) for n, m in layers)
    weights = hidden + sizes[-1] * outputs
    return Size(weights, weights)
