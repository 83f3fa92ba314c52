"""RealMLP: a perceptron for tables with periodic features, NTK scaling and trained factors."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from hpo.engine.models.abstract import Shapes
from hpo.engine.models.dropout import Dropout
from hpo.engine.models.initialisers import INITIALISERS, Initialiser
from hpo.engine.models.layers import activated, bounded
from hpo.engine.models.sizes import layer_sizes, width_of
from hpo.engine.models.table_inputs import PERIODIC_LEAVES, TableInputs
from hpo.engine.oneof import options_of
from hpo.spec.sections.models.tables import RealMlp as RealMlpSpec

# The learning rates of biases, of the factors of activations and of those of inputs, as shares of
# the others'. An array that enters as `rate * array` has this share under Adam, whose steps do not
# depend on the size of gradients.
_BIAS_RATE, _MIX_RATE, _SCALE_RATE = 0.1, 0.1, 6.0


class RealMlp(nnx.Module):  # type: ignore[misc]
    """`realmlp`: periodic features, factors of inputs, NTK layers and a head that starts at zero.

    Factors are kept as their difference from 1, to which weight decay draws them.

    Source: Holzmueller, Grinsztajn and Steinwart 2024, "Better by default: Strong pre-tuned MLPs
    and boosted trees on tabular data" (arXiv:2407.04491), Section 3. First weights and biases are
    normal, as in its RealMLP-TD-S: they do not depend on the data.
    """

    leaves: ClassVar[Mapping[str, Initialiser]] = MappingProxyType(
        {
            **PERIODIC_LEAVES,
            "kernel": INITIALISERS["normal"],
            "bias": lambda rng, shape: rng.standard_normal(shape, np.float32) / _BIAS_RATE,
            **dict.fromkeys(("scale", "mix", "head", "head_bias"), INITIALISERS["zeros"]),
        }
    )

    def __init__(self, spec: RealMlpSpec, shapes: Shapes, rngs: nnx.Rngs) -> None:
        sizes = layer_sizes(options_of(spec.widths))
        self.inputs = TableInputs(spec, shapes, rngs)
        features = self.inputs.width
        self.scale = nnx.Param(jnp.zeros((features,)))
        self.layers = nnx.List([_Layer(n, m) for n, m in itertools.pairwise((features, *sizes))])
        self.head = nnx.Param(jnp.zeros((sizes[-1], shapes.outputs)))
        self.head_bias = nnx.Param(jnp.zeros((shapes.outputs,)))

    def __call__(
        self, x: Float[Array, "B ..."], spec: RealMlpSpec, *, train: bool, dropout: Dropout
    ) -> Float[Array, "B K"]:
        """Logits, or predictions of a regression."""
        x = self.inputs(x, spec)
        x = x * (1 + _SCALE_RATE * self.scale[...]).astype(x.dtype)
        inputs: Any = x.shape[-1]
        for i, layer in enumerate(self.layers):
            width = width_of(spec.widths, i)
            z = _ntk(x, layer.kernel[...], layer.bias[...], inputs)
            mix = (1 + _MIX_RATE * layer.mix[...]).astype(x.dtype)
            x = dropout(z + mix * (activated(spec, z, width) - z), layer=i)
            inputs = width
        return bounded(spec.output, _ntk(x, self.head[...], self.head_bias[...], inputs))


class _Layer(nnx.Module):  # type: ignore[misc]
    """The arrays of a hidden layer; `nnx.Linear` could not scale its bias apart from its kernel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.kernel = nnx.Param(jnp.zeros((inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros((outputs,)))
        self.mix = nnx.Param(jnp.zeros((outputs,)))


def _ntk(
    x: Float[Array, "B N"], kernel: Float[Array, "N M"], bias: Float[Array, " M"], inputs: Any
) -> Float[Array, "B M"]:
    """A layer whose products are divided by the root of its number of inputs, without padding.

    Source: Jacot, Gabriel and Hongler 2018, "Neural tangent kernel" (arXiv:1806.07572), Section 2.
    """
    factor = 1 / jnp.sqrt(jnp.asarray(inputs, jnp.float32))
    products = x @ kernel.astype(x.dtype) * factor.astype(x.dtype)
    return products + (_BIAS_RATE * bias).astype(x.dtype)
