"""The multi-layer perceptron."""

from __future__ import annotations

import itertools
from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from hpo.engine.dropout import Dropout
from hpo.engine.models.layers import ACTIVATIONS, norm_layers, normalised
from hpo.spec.model import Mlp as MlpSpec


class Mlp(nnx.Module):  # type: ignore[misc]
    """Linear, norm, activation, dropout for each width, then a linear head."""

    def __init__(
        self, spec: MlpSpec, inputs: tuple[int, ...], outputs: int, dtype: Any, rngs: nnx.Rngs
    ) -> None:
        flat = 1
        for size in inputs:
            flat *= size
        # A bias before a batch norm has no true gradient, and Adam would turn noise into steps.
        use_bias = spec.norm != "batch"
        self.linears = nnx.List(
            [
                nnx.Linear(n, m, use_bias=use_bias, dtype=dtype, rngs=rngs)
                for n, m in itertools.pairwise((flat, *spec.widths))
            ]
        )
        self.norms = norm_layers(spec.norm, spec.widths, dtype, rngs)
        self.head = nnx.Linear(spec.widths[-1], outputs, dtype=dtype, rngs=rngs)
        self.activation = spec.activation

    def __call__(
        self, x: Float[Array, "B ..."], *, train: bool, dropout: Dropout
    ) -> Float[Array, "B K"]:
        """Logits, or predictions of a regression."""
        x = x.reshape(x.shape[0], -1)
        for i, linear in enumerate(self.linears):
            x = normalised(self.norms, i, linear(x), train)
            x = dropout(ACTIVATIONS[self.activation](x))
        return self.head(x)
