"""The multi-layer perceptron."""

from __future__ import annotations

import itertools
import math
from functools import partial

import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from hpo.engine.models.dropout import Dropout
from hpo.engine.models.layers import activated, norm_layers, normalised
from hpo.engine.models.registry import Shapes
from hpo.engine.models.sizes import layer_sizes
from hpo.engine.oneof import number_of, options_of
from hpo.spec.sections.model import Mlp as MlpSpec


class Mlp(nnx.Module):  # type: ignore[misc]
    """Linear, norm, activation, dropout for each width, then a linear head.

    Where a program serves several widths, each layer is as wide as the widest. Zero weights there
    stay zero: nothing goes through them, so that no gradient comes back.
    """

    def __init__(self, spec: MlpSpec, shapes: Shapes, rngs: nnx.Rngs) -> None:
        inputs, outputs, dtype = math.prod(shapes.example), shapes.outputs, shapes.dtype
        sizes = layer_sizes(options_of(spec.widths))
        # A bias before a batch norm has no true gradient, and Adam would turn noise into steps.
        use_bias = spec.bias and spec.norm != "batch"
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
            width = number_of(spec.widths, lambda widths: widths[min(i, len(widths) - 1)])
            x = normalised(self.norms, i, self.linears[i](x), width, train)
            return dropout(activated(spec, x, width), layer=i)

        x = x.reshape(x.shape[0], -1)
        shallowest = min(len(widths) for widths in options_of(spec.widths))
        for i, size in enumerate(layer_sizes(options_of(spec.widths))):
            if i < shallowest:
                x = layer(i, x)
            else:
                is_there = i < number_of(spec.widths, len)
                x = lax.cond(is_there, partial(layer, i), partial(_resized, size=size), x)
        return self.head(x)


def _resized(x: Float[Array, "B N"], size: int) -> Float[Array, "B M"]:
    """`x` with zeros at its end, or without those that were there."""
    return jnp.pad(x, ((0, 0), (0, max(0, size - x.shape[1]))))[:, :size]
