"""Residual networks for images."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from hpo.engine.models.abstract import Shapes
from hpo.engine.models.convolution import Conv
from hpo.engine.models.dropout import Dropout
from hpo.engine.models.initialisers import INITIALISERS, Initialiser
from hpo.engine.models.layers import (
    activated,
    has_bias,
    kernel_weights,
    norm_layers,
    normalised,
    rematerialised,
    skipped,
)
from hpo.engine.models.sizes import Size
from hpo.spec.sections.models.images import ResNet as ResNetSpec
from hpo.spec.sections.models.images import of_layer

# He et al. 2016, Section 4.1: the last convolution of a bottleneck has 4 times the filters.
_EXPANSION = 4


class ResNet(nnx.Module):  # type: ignore[misc]
    """`resnet`: a convolution, stages of residual blocks, the mean over pixels, a linear head.

    Shortcuts have no weights: where a block has more filters than channels, they are filled up
    with zeros (option A).

    Source: He et al. 2016, "Deep residual learning for image recognition" (CVPR), Section 4.2.
    """

    # The last norm of a block starts at 0, so that the block starts as the identity.
    # Source: Goyal et al. 2017, "Accurate, large minibatch SGD" (arXiv:1706.02677), Section 5.1.
    leaves: ClassVar[Mapping[str, Initialiser]] = MappingProxyType(
        {"last.scale": INITIALISERS["zeros"]}
    )

    def __init__(self, spec: ResNetSpec, shapes: Shapes, rngs: nnx.Rngs) -> None:
        first, *blocks = _blocks(spec, shapes.example[2])
        self.first = _conv(first[0], spec, shapes)
        self.norms = norm_layers(spec.norm, (first[0].filters,), shapes.dtype, rngs)
        self.blocks = nnx.List([Block(layers, spec, shapes, rngs) for layers in blocks])
        features = blocks[-1][-1].filters
        self.head = nnx.Linear(features, shapes.outputs, dtype=shapes.dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B H W C"], spec: ResNetSpec, *, train: bool, dropout: Dropout
    ) -> Float[Array, "B K"]:
        """Logits, or predictions of a regression."""
        x = self.first(x)
        x = activated(spec, normalised(self.norms, 0, x, x.shape[3], train), x.shape[3])

        def at(place: tuple[int, int]) -> Callable[[Block, Array], Array]:
            return lambda block, x: block(x, place, spec, train, dropout)

        for i, block in enumerate(self.blocks):
            x = rematerialised(spec, block, at((i, len(self.blocks))), x)
        return self.head(x.astype(jnp.float32).mean((1, 2)).astype(x.dtype))


class Block(nnx.Module):  # type: ignore[misc]
    """Convolutions, each with a norm, beside a shortcut; the activation of their sum.

    Dropout before the last convolution is that of wide residual networks.

    Source: Zagoruyko and Komodakis 2016, "Wide residual networks" (BMVC), Section 2.4.
    """

    def __init__(
        self, layers: Sequence[_Layer], spec: ResNetSpec, shapes: Shapes, rngs: nnx.Rngs
    ) -> None:
        *sizes, last = (layer.filters for layer in layers)
        self.convs = nnx.List([_conv(layer, spec, shapes) for layer in layers])
        self.norms = norm_layers(spec.norm, (*sizes,), shapes.dtype, rngs)
        self.last = [*norm_layers(spec.norm, (last,), shapes.dtype, rngs), Scale(last)][0]
        self.stride = math.prod(layer.stride for layer in layers)

    def __call__(
        self,
        x: Float[Array, "B H W C"],
        place: tuple[int, int],
        spec: ResNetSpec,
        train: bool,
        dropout: Dropout,
    ) -> Float[Array, "B h w D"]:
        """The outputs of the block; its place is its index and the number of blocks."""
        index, blocks = place
        *convs, last = self.convs
        y = x
        for i, conv in enumerate(convs):
            y = conv(y)
            y = activated(spec, normalised(self.norms, i, y, y.shape[3], train), y.shape[3])
        y = last(dropout(y, layer=index))
        y = normalised([self.last], 0, y, y.shape[3], train)
        y = skipped(spec, dropout, y, index, blocks)
        return activated(spec, _shortcut(x, self.stride, y.shape[3]) + y, y.shape[3])


class Scale(nnx.Module):  # type: ignore[misc]
    """A trained factor for each channel: what is left of a block's last norm where it has none.

    Source: De and Smith 2020, "Batch normalization biases residual blocks towards the identity
    function in deep networks" (NeurIPS), Section 4.
    """

    def __init__(self, features: int) -> None:
        self.scale = nnx.Param(jnp.zeros((features,)))

    def __call__(self, x: Float[Array, "... N"], features: Any) -> Float[Array, "... N"]:
        """`x`, scaled."""
        return x * self.scale[...].astype(x.dtype)


class _Layer(NamedTuple):
    """A convolution of a block."""

    window: int
    channels: int
    filters: int
    stride: int = 1
    groups: int = 1

    def weights(self, rank: int | None) -> int:
        """The number of its weights, without biases."""
        inputs = self.window**2 * self.channels // self.groups
        return kernel_weights(inputs, self.filters, rank if self.groups == 1 else None)


def _blocks(spec: ResNetSpec, channels: int) -> Iterator[tuple[_Layer, ...]]:
    """The first convolution, then the convolutions of each block."""
    yield (_Layer(3, channels, spec.filters[0]),)
    channels = spec.filters[0]
    for stage, filters in enumerate(spec.filters):
        for number in range(of_layer(spec.blocks, stage)):
            stride = 2 if stage and not number else 1
            layers = _layers(spec, channels, filters * spec.widening, stride)
            yield layers
            channels = layers[-1].filters


def _layers(spec: ResNetSpec, channels: int, filters: int, stride: int) -> tuple[_Layer, ...]:
    """The convolutions of a block.

    Depthwise ones are those of Howard et al. 2017, "MobileNets" (arXiv:1704.04861), Section 3.1.
    """

    def wide(channels: int, stride: int) -> _Layer:
        groups = math.gcd(spec.groups, channels, filters)
        return _Layer(3, channels, filters, stride, groups)

    match spec.block:
        case "basic":
            return wide(channels, stride), wide(filters, 1)
        case "bottleneck":
            narrow, broad = _Layer(1, channels, filters), _Layer(1, filters, _EXPANSION * filters)
            # Goyal et al. 2017, Section 5.1: the 3x3 convolution has the stride.
            return narrow, wide(filters, stride), broad
    return tuple(
        layer
        for n, step in ((channels, stride), (filters, 1))
        for layer in (_Layer(3, n, n, step, n), _Layer(1, n, filters))
    )


def _conv(layer: _Layer, spec: ResNetSpec, shapes: Shapes) -> Conv:
    # The middle of each window lies on a pixel of the shortcut, whatever the stride.
    pad = layer.window // 2, layer.window // 2
    window, channels, filters, stride, groups = layer
    arrays = window, channels, filters, has_bias(spec)
    return Conv(*arrays, shapes.platform, shapes.dtype, stride, (pad, pad), groups)


def _shortcut(x: Float[Array, "B H W C"], stride: int, filters: int) -> Float[Array, "B h w D"]:
    """Every `stride`th pixel, with zeros for further channels, or without the last ones."""
    x = x[:, ::stride, ::stride, :filters]
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, filters - x.shape[3])))


def resnet_size(spec: ResNetSpec, example_shape: Sequence[int], outputs: int) -> Size:
    """The size of a `resnet`."""
    height, width, channels = example_shape
    weights = convolved = 0
    for layer in itertools.chain.from_iterable(_blocks(spec, channels)):
        height, width = -(-height // layer.stride), -(-width // layer.stride)
        weights += layer.weights(spec.rank)
        convolved += layer.weights(spec.rank) * height * width
        channels = layer.filters
    return Size(weights + channels * outputs, channels * outputs, convolved)
