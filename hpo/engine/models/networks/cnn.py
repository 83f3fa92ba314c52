"""The convolutional network for images."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, NamedTuple

from flax import nnx
from jaxtyping import Array, Float

from hpo.engine.models.abstract import Shapes
from hpo.engine.models.convolution import Conv, output_size
from hpo.engine.models.dropout import Dropout
from hpo.engine.models.layers import (
    activated,
    has_bias,
    kernel_weights,
    norm_layers,
    normalised,
)
from hpo.engine.models.pooling import pooled, pooled_size
from hpo.engine.models.sizes import Size
from hpo.engine.oneof import number_of, options_of
from hpo.spec.sections.models.images import Cnn as CnnSpec
from hpo.spec.sections.models.images import Pooling, of_layer


class Cnn(nnx.Module):  # type: ignore[misc]
    """`cnn`: convolution, norm, activation, pooling for each of `filters`; `dense` layers; a head.

    If a program serves several sizes of the dense layer, it is as large as the largest.
    """

    resized: ClassVar[tuple[str, ...]] = ("dense", "further")

    def __init__(self, spec: CnnSpec, shapes: Shapes, rngs: nnx.Rngs) -> None:
        inputs, outputs, platform, dtype, *_ = shapes
        use_bias = has_bias(spec)
        layers = _layers(spec, inputs)
        self.convs = nnx.List(
            [
                Conv(*one.arrays, use_bias, platform, dtype, one.stride, spec.padding, one.groups)
                for one in layers
            ]
        )
        self.norms = norm_layers(spec.norm, spec.filters, dtype, rngs)
        sizes = layers[-1].flat, *_dense_sizes(spec)
        denses = [
            nnx.Linear(n, m, use_bias=spec.bias, dtype=dtype, rngs=rngs)
            for n, m in itertools.pairwise(sizes)
        ]
        self.dense = denses[0] if denses else None
        self.further = nnx.List(denses[1:])
        self.head = nnx.Linear(sizes[-1], outputs, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B H W C"], spec: CnnSpec, *, train: bool, dropout: Dropout
    ) -> Float[Array, "B K"]:
        """Logits, or predictions of a regression."""
        for i, (conv, filters) in enumerate(zip(self.convs, spec.filters, strict=True)):
            x = normalised(self.norms, i, conv(x), filters, train)
            x = pooled(activated(spec, x, filters), spec.pooling.of_layer(i))
        denses = [] if self.dense is None else [self.dense, *self.further]
        sizes = [number_of(spec.dense, partial(of_layer, index=i)) for i in range(len(denses))]
        x = x.reshape(x.shape[0], -1)
        for i, (dense, size) in enumerate(zip(denses, sizes, strict=True)):
            x = dropout(activated(spec, dense(x), size), layer=i)
        return self.head(x)


class _Layer(NamedTuple):
    """A convolution, the size of its outputs, and the pooling after it."""

    window: tuple[int, int]
    channels: int
    filters: int
    stride: int
    groups: int
    size: tuple[int, int]
    pooling: Pooling

    @property
    def arrays(self) -> tuple[tuple[int, int], int, int]:
        """What the sizes of its weights follow from."""
        return self.window, self.channels, self.filters

    def weights(self, rank: int | None) -> int:
        """The number of its weights, without biases."""
        inputs = math.prod(self.window) * self.channels // self.groups
        return kernel_weights(inputs, self.filters, rank if self.groups == 1 else None)

    @property
    def pooled(self) -> tuple[int, int]:
        """Height and width after pooling."""
        return pooled_size(self.size[0], self.pooling), pooled_size(self.size[1], self.pooling)

    @property
    def flat(self) -> int:
        """The number of values after pooling."""
        return math.prod(self.pooled) * self.filters


def _layers(spec: CnnSpec, example_shape: Sequence[int]) -> list[_Layer]:
    """The convolutions of a `cnn`.

    Without padding, a window is at most as large as its image, so that every depth can be tried.
    """
    height, width, channels = example_shape
    layers = []
    for i, filters in enumerate(spec.filters):
        kernel, stride = of_layer(spec.kernel, i), of_layer(spec.stride, i)
        window = kernel, kernel
        if spec.padding == "valid":
            window = min(kernel, height), min(kernel, width)
        size = (
            output_size(height, window[0], stride, spec.padding),
            output_size(width, window[1], stride, spec.padding),
        )
        groups = math.gcd(of_layer(spec.groups, i), channels, filters)
        pooling = spec.pooling.of_layer(i)
        layers.append(_Layer(window, channels, filters, stride, groups, size, pooling))
        (height, width), channels = layers[-1].pooled, filters
    return layers


def _dense_sizes(spec: CnnSpec) -> tuple[int, ...]:
    """The units of each dense layer, of the largest that its `OneOf` allows."""
    if isinstance(spec.dense, tuple):
        return spec.dense
    return (max(options_of(spec.dense)),)


def cnn_size(spec: CnnSpec, example_shape: Sequence[int], outputs: int) -> Size:
    """The size of a `cnn`."""
    layers = _layers(spec, example_shape)
    sizes, rank = (layers[-1].flat, *_dense_sizes(spec)), spec.rank
    dense = sum(kernel_weights(n, m, rank, resized=True) for n, m in itertools.pairwise(sizes))
    dense += sizes[-1] * outputs
    weights = sum(one.weights(rank) for one in layers)
    convolved = sum(one.weights(rank) * math.prod(one.size) for one in layers)
    return Size(weights + dense, dense, convolved)
