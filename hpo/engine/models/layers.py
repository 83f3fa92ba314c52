"""Layers and functions that several models share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from hpo.engine.models.activations.sparse import passed_on
from hpo.engine.models.convolution import Conv
from hpo.engine.models.dropout import Dropout
from hpo.engine.models.look import tried
from hpo.engine.models.own import function_of, given_to
from hpo.engine.oneof import choose
from hpo.engine.program import is_off
from hpo.errors import HpoError
from hpo.spec.code.own_functions import OwnActivation

Activation: TypeAlias = Callable[[Float[Array, "..."]], Float[Array, "..."]]

ACTIVATIONS: dict[str, Activation] = {
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "tanh": jax.numpy.tanh,
    "elu": jax.nn.elu,
    "leaky_relu": jax.nn.leaky_relu,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "selu": jax.nn.selu,
    "mish": jax.nn.mish,
}
# All others map 0 to 0, so that the padding units of a merged program stay 0.
NOT_ZERO_AT_ZERO = frozenset({"sigmoid", "softplus"})


def activated(spec: Any, x: Float[Array, "... N"], features: Any) -> Float[Array, "... N"]:
    """The activation of a model's spec, applied to `x`; units after `features` are padding."""

    def by_name(name: Any, x: Array) -> Array:
        if isinstance(name, OwnActivation):
            return _padded(own_activation(name, x), features)
        if name == "leaky_relu" and spec.slope is not None:
            return jax.nn.leaky_relu(x, jnp.asarray(spec.slope, x.dtype))
        y = ACTIVATIONS[name](x)
        return _padded(y, features) if name in NOT_ZERO_AT_ZERO else y

    return passed_on(choose(spec.activation, by_name, x), features)


def _padded(y: Float[Array, "... N"], features: Any) -> Float[Array, "... N"]:
    """`y` with 0 for its units after `features`."""
    if isinstance(features, int):
        return y
    return jnp.where(jnp.arange(y.shape[-1]) < features, y, jnp.zeros((), y.dtype))


def bounded(output: str, y: Float[Array, "... K"]) -> Float[Array, "... K"]:
    """The answers of a last layer, between 0 and 1 by a `sigmoid` or `tanh`; `linear`: as it is."""
    if output == "linear":
        return y
    # In float32, because bfloat16 has few numbers near 1.
    y = y.astype(jnp.float32)
    return jax.nn.sigmoid(y) if output == "sigmoid" else (jnp.tanh(y) + 1) / 2


def own_activation(activation: OwnActivation, x: Float[Array, "..."]) -> Float[Array, "..."]:
    """An activation of a user's own, in the precision of `x`.

    Raises:
        CodeError: for an error of the user's own code.
        HpoError: for a result of another shape.
    """

    def called() -> Array:
        return jnp.asarray(function_of(activation)(x, **given_to(activation)))

    y = tried("model.activation.python", activation, called)
    if y.shape != x.shape:
        raise HpoError(
            f"model.activation.python: {activation.python} turns an array of shape "
            f"{list(x.shape)} into one of {list(y.shape)}: keep the shape."
        )
    return y.astype(x.dtype)


class LowRank(nnx.Module):  # type: ignore[misc]
    """A layer whose kernel is the product of two: `rank` * (inputs + outputs) weights.

    The inputs of a convolution are those of its window. Its second kernel reads single pixels. The
    initial factors of both are those of one drawn kernel (see `initialisers`).

    Source: Denil et al. 2013, "Predicting parameters in deep learning" (arXiv:1306.0543);
    convolutions: Zhang et al. 2015, "Accelerating very deep convolutional networks for
    classification and detection" (arXiv:1505.06798), Section 3.1.
    """

    def __init__(self, layer: nnx.Linear | Conv, rank: int) -> None:
        dtype = layer.dtype
        if isinstance(layer, Conv):
            *window, channels, filters = layer.kernel.shape
            sizes, bias = (window[0], window[1]), layer.bias is not None
            how = layer.platform, dtype
            self.left = Conv(sizes, channels, rank, False, *how, layer.stride, layer.padding)
            self.right = Conv(1, rank, filters, bias, *how)
            return
        inputs, outputs, rngs = layer.in_features, layer.out_features, nnx.Rngs(0)
        self.left = nnx.Linear(inputs, rank, use_bias=False, dtype=dtype, rngs=rngs)
        self.right = nnx.Linear(rank, outputs, use_bias=layer.use_bias, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "... N"]) -> Float[Array, "... M"]:
        """The outputs of the layer."""
        return self.right(self.left(x))


def with_low_rank(model: nnx.Module, rank: int) -> nnx.Module:
    """A model of which dense layers and convolutions are products of this rank, but for the head.

    Those that would have no fewer weights stay whole, and so do convolutions of groups. Layers that
    a model names as `resized` are products in any case, as their sizes may be those of a merged
    program.
    """
    parts = dict(nnx.iter_graph(model))
    for path, layer in parts.items():
        is_layer = isinstance(layer, nnx.Linear) or (isinstance(layer, Conv) and layer.groups == 1)
        if not is_layer or path == ("head",):
            continue
        *window, channels, outputs = layer.kernel.shape
        inputs = math.prod(window) * channels
        if path[0] in getattr(model, "resized", ()) or is_product(inputs, outputs, rank):
            parent, name = parts[path[:-1]], path[-1]
            if isinstance(parent, nnx.List):
                parent[name] = LowRank(layer, rank)
            else:
                setattr(parent, name, LowRank(layer, rank))
    return model


def is_product(inputs: int, outputs: int, rank: int | None) -> bool:
    """Whether a layer of these sizes has fewer weights as a product of this rank."""
    return rank is not None and rank * (inputs + outputs) < inputs * outputs


def kernel_weights(inputs: int, outputs: int, rank: int | None, *, resized: bool = False) -> int:
    """The weights of a layer without its bias, and its multiplications for an example or a pixel.

    A `resized` layer is a product of this rank in any case (see `with_low_rank`).
    """
    if rank is not None and (resized or is_product(inputs, outputs, rank)):
        return rank * (inputs + outputs)
    return inputs * outputs


class LayerNorm(nnx.Module):  # type: ignore[misc]
    """Layer normalisation over the trial's features of the last axis, without padding.

    Source: Ba, Kiros and Hinton 2016, "Layer normalization" (arXiv:1607.06450), Equation 3.
    """

    def __init__(self, features: int, dtype: Any) -> None:
        self.scale = nnx.Param(jnp.ones((features,)))
        self.bias = nnx.Param(jnp.zeros((features,)))
        self.dtype = dtype

    def __call__(self, x: Float[Array, "... N"], features: Any) -> Float[Array, "... N"]:
        """`x` normalised; its elements after `features` are padding and stay 0."""
        wide = x.astype(jnp.float32)
        if not isinstance(features, int):
            # Otherwise the padding would get a gradient through the mean.
            wide = jnp.where(jnp.arange(x.shape[-1]) < features, wide, 0.0)
        mean = wide.sum(-1, keepdims=True) / features
        variance = jnp.square(wide).sum(-1, keepdims=True) / features - jnp.square(mean)
        # Rounding can make the difference of the two negative.
        factor = lax.rsqrt(jnp.maximum(variance, 0.0) + 1e-6) * self.scale[...]
        return ((wide - mean) * factor + self.bias[...]).astype(self.dtype)


def rematerialised(spec: Any, block: nnx.Module, run: Callable[..., Array], x: Array) -> Array:
    """`remat`: `run(block, x)`, of which the backward pass keeps `x` and computes the rest again.

    Source: Chen et al. 2016, "Training deep nets with sublinear memory cost" (arXiv:1604.06174).
    """
    return nnx.remat(run)(block, x) if spec.remat else run(block, x)


def skipped(spec: Any, dropout: Dropout, y: Array, block: int, blocks: int, part: int = 0) -> Array:
    """`stochastic_depth`: the output of a block without the rows that skip it; blocks count from 0.

    Source: Huang et al. 2016, "Deep networks with stochastic depth" (arXiv:1603.09382), Equation 4;
    kept rows are scaled while training instead of all rows afterwards.
    """
    if is_off(spec.stochastic_depth):
        return y
    rate = spec.stochastic_depth * (block + 1) / blocks
    return dropout.of_rows(y, _SKIPPED + 2 * block + part, rate)


# Masks of values have smaller numbers, and those of augmentations larger ones.
_SKIPPED = 5_000


def has_bias(spec: Any) -> bool:
    """Whether the layers before the head of a model add a bias, by `bias` and `norm`."""
    # The gradient of a bias before a batch norm is only rounding noise, which Adam would amplify.
    return bool(spec.bias and spec.norm != "batch")


def norm_layers(norm: str, sizes: tuple[int, ...], dtype: Any, rngs: nnx.Rngs) -> nnx.List:
    """One normalisation layer for each size; none if `norm` is "none"."""
    if norm == "batch":
        # PyTorch's momentum: a short epoch has too few steps for Flax's 0.99 to catch up.
        return nnx.List([nnx.BatchNorm(n, momentum=0.9, dtype=dtype, rngs=rngs) for n in sizes])
    if norm == "layer":
        return nnx.List([LayerNorm(n, dtype) for n in sizes])
    return nnx.List([])


def normalised(norms: nnx.List, index: int, x: Array, features: Any, train: bool) -> Array:
    """The norm of layer `index`, applied to `x`; elements after `features` are padding.

    In training, a batch norm uses the statistics of the batch.
    """
    if not norms:
        return x
    norm = norms[index]
    if isinstance(norm, nnx.BatchNorm):
        return norm(x, use_running_average=not train)
    return norm(x, features)
