"""TabM: many perceptrons for tables that share their weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from hpo.engine.models.abstract import Members, Shapes
from hpo.engine.models.dropout import Dropout
from hpo.engine.models.initialisers import Initialiser
from hpo.engine.models.layers import activated, bounded
from hpo.engine.models.sizes import Size, layer_sizes, width_of
from hpo.engine.models.table_inputs import PERIODIC_LEAVES, TableInputs, input_width
from hpo.engine.oneof import options_of
from hpo.spec.sections.models.tables import TabM as TabMSpec


class TabM(nnx.Module):  # type: ignore[misc]
    """`tabm`: perceptrons with shared kernels; factors, biases and heads are each member's own.

    The factors of the first inputs start as random signs, all others as 1.

    Source: Gorishniy, Kotelnikov and Babenko 2025, "TabM: Advancing tabular deep learning with
    parameter-efficient ensembling" (arXiv:2410.24210), Section 3; a layer with factors is that of
    Wen, Tran and Ba 2020, "BatchEnsemble" (arXiv:2002.06715), Equation 5.
    """

    leaves: ClassVar[Mapping[str, Initialiser]] = MappingProxyType(
        {
            **PERIODIC_LEAVES,
            "signs": lambda rng, shape: rng.choice([-1.0, 1.0], shape),
            "before": lambda rng, shape: np.ones(shape, np.float32),
            "after": lambda rng, shape: np.ones(shape, np.float32),
            # Each head starts as a dense layer of its own, with LeCun's spread.
            "heads": lambda rng, shape: (
                rng.standard_normal(shape, np.float32) / math.sqrt(shape[-2])
            ),
        }
    )

    def __init__(self, spec: TabMSpec, shapes: Shapes, rngs: nnx.Rngs) -> None:
        self.inputs = TableInputs(spec, shapes, rngs)
        members, sizes = spec.members, (self.inputs.width, *layer_sizes(options_of(spec.widths)))
        self.signs = nnx.Param(jnp.zeros((members, sizes[0])))
        # A layer's factors are beside its kernel, because Flax has no layer with factors.
        own = members if spec.factors == "all" else 0
        self.layers = nnx.List(
            [
                _Layer(n, m, own, is_first=i == 0)
                for i, (n, m) in enumerate(itertools.pairwise(sizes))
            ]
        )
        self.heads = nnx.Param(jnp.zeros((members, sizes[-1], shapes.outputs)))
        self.bias = nnx.Param(jnp.zeros((members, shapes.outputs)))

    def __call__(
        self, x: Float[Array, "B ..."], spec: TabMSpec, *, train: bool, dropout: Dropout
    ) -> Members:
        """Logits, or predictions of a regression, of each member."""
        inputs = self.inputs(x, spec)
        h = inputs[:, None] * self.signs[...].astype(inputs.dtype)
        for i, layer in enumerate(self.layers):
            h = dropout(activated(spec, layer(h), width_of(spec.widths, i)), layer=i)
        outputs = jnp.einsum("bmn,mnk->bmk", h, self.heads[...].astype(h.dtype))
        return Members(bounded(spec.output, outputs + self.bias[...].astype(h.dtype)))


class _Layer(nnx.Module):  # type: ignore[misc]
    """A layer of all members: one kernel, and where it has `members` their factors and biases."""

    def __init__(self, inputs: int, outputs: int, members: int, *, is_first: bool) -> None:
        self.kernel = nnx.Param(jnp.zeros((inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros((members, outputs) if members else (outputs,)))
        if members:
            self.after = nnx.Param(jnp.zeros((members, outputs)))
        if members and not is_first:  # the signs of the first inputs are their factors
            self.before = nnx.Param(jnp.zeros((members, inputs)))

    def __call__(self, x: Float[Array, "B M N"]) -> Float[Array, "B M U"]:
        x = x * self._factors("before", x)
        products = x @ self.kernel[...].astype(x.dtype)
        return products * self._factors("after", x) + self.bias[...].astype(x.dtype)

    def _factors(self, name: str, x: Array) -> Any:
        return getattr(self, name)[...].astype(x.dtype) if hasattr(self, name) else 1


def tabm_size(spec: TabMSpec, example_shape: Sequence[int], outputs: int) -> Size:
    """The size of a `tabm`: each member multiplies by the shared kernels."""
    inputs = input_width(spec, math.prod(example_shape))
    sizes, members = (inputs, *layer_sizes(options_of(spec.widths))), spec.members
    kernels = sum(n * m for n, m in itertools.pairwise(sizes))
    factors = sizes[0] + (2 * sum(sizes[1:]) - sizes[-1] if spec.factors == "all" else 0)
    heads = members * sizes[-1] * outputs
    return Size(kernels + members * factors + heads, members * kernels + heads)
