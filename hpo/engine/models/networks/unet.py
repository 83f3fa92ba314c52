"""The U-Net, which gives each pixel of an image a class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from hpo.engine.models.abstract import Shapes
from hpo.engine.models.convolution import Conv
from hpo.engine.models.dropout import Dropout, dropped
from hpo.engine.models.layers import (
    activated,
    has_bias,
    kernel_weights,
    norm_layers,
    normalised,
)
from hpo.engine.models.pooling import pooled
from hpo.engine.models.sizes import Size
from hpo.spec.sections.models.images import Pooling
from hpo.spec.sections.models.images import Unet as UnetSpec


class Unet(nnx.Module):  # type: ignore[misc]
    """`unet`: convolutions at each level, down by 2x2 max pooling and up again, then a head.

    On the way up, a level gets its outputs of the way down beside those from below. Convolutions
    keep the size of an image. One that cannot be halved `depth` times is padded with zeros below
    and on the right, and its answers are cut.

    Source: Ronneberger et al. 2015, "U-Net" (arXiv:1505.04597), Figure 1, with padded convolutions.
    """

    def __init__(self, spec: UnetSpec, shapes: Shapes, rngs: nnx.Rngs) -> None:
        platform, dtype = shapes.platform, shapes.dtype
        use_bias = has_bias(spec)
        convs = _convolutions(spec, shapes.example[-1])
        self.convs = nnx.List(
            [
                Conv(spec.kernel, one.channels, one.filters, use_bias, platform, dtype)
                for one in convs
            ]
        )
        self.norms = norm_layers(spec.norm, tuple(one.filters for one in convs), dtype, rngs)
        filters = _filters(spec)
        self.ups = nnx.List(
            [Up(2 * n, n, use_bias=spec.bias, dtype=dtype) for n in reversed(filters[:-1])]
        )
        self.head = nnx.Linear(filters[0], shapes.outputs, dtype=dtype, rngs=rngs)
        self.answers_each = bool(shapes.positions)

    def __call__(
        self, x: Float[Array, "B H W C"], spec: UnetSpec, *, train: bool, dropout: Dropout
    ) -> Float[Array, "B ..."]:
        """Logits of each pixel, or their mean over the image where it has one answer."""
        height, width = x.shape[1:3]
        x = _padded(x, 2**spec.depth)
        steps = iter(zip(self.convs, range(len(self.convs)), strict=True))
        filters = _filters(spec)

        def convolved(x: Array, level: int) -> Array:
            for _ in range(spec.convolutions):
                conv, index = next(steps)
                x = normalised(self.norms, index, conv(x), filters[level], train)
                x = activated(spec, x, filters[level])
            return x

        skipped = []
        for level in range(spec.depth):
            skipped.append(convolved(x, level))
            x = pooled(skipped[-1], Pooling())
        x = dropped(dropout, convolved(x, spec.depth), layer=0)
        for up, level in zip(self.ups, reversed(range(spec.depth)), strict=True):
            x = convolved(jnp.concatenate([skipped[level], up(x)], axis=-1), level)
        x = self.head(x)[:, :height, :width]
        return x if self.answers_each else x.mean((1, 2))


class Up(nnx.Module):  # type: ignore[misc]
    """The paper's up-convolution: a transposed convolution of 2x2 with stride 2.

    Its windows do not overlap, so it is one product for each pixel: quick inside a loop on CPU, and
    without the checkerboards of windows that overlap. `kernel` has the four pixels of a window as
    parts of its last axis, so that the fans of its first weights are right.
    """

    def __init__(self, channels: int, filters: int, *, use_bias: bool, dtype: Any) -> None:
        self.kernel = nnx.Param(jnp.zeros((channels, 4 * filters)))
        self.bias = nnx.Param(jnp.zeros((filters,))) if use_bias else None
        self.dtype = dtype
        self.rounder = nnx.data(None)

    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
        x = x if self.rounder is None else self.rounder.rounded(x, self.kernel[...])
        batch, height, width, _ = x.shape
        y = x.astype(self.dtype) @ self.kernel[...].astype(self.dtype)
        y = y.reshape(batch, height, width, 2, 2, -1).swapaxes(2, 3)
        y = y.reshape(batch, 2 * height, 2 * width, -1)
        return y if self.bias is None else y + self.bias[...].astype(self.dtype)


class _Convolution(NamedTuple):
    """A convolution and the level that it is at."""

    level: int
    channels: int
    filters: int


def _filters(spec: UnetSpec) -> tuple[int, ...]:
    """The filters of each level, from the top."""
    return tuple(spec.filters * 2**level for level in range(spec.depth + 1))


def _convolutions(spec: UnetSpec, channels: int) -> list[_Convolution]:
    """The convolutions in order: down, at the lowest level, and up."""
    filters = _filters(spec)
    # On the way up, half of the inputs come from below.
    down = [(level, (channels, *filters)[level]) for level in range(spec.depth + 1)]
    up = [(level, 2 * filters[level]) for level in reversed(range(spec.depth))]
    return [
        _Convolution(level, filters[level] if number else first, filters[level])
        for level, first in (*down, *up)
        for number in range(spec.convolutions)
    ]


def _padded(x: Float[Array, "B H W C"], multiple: int) -> Float[Array, "B h w C"]:
    rows, columns = (-size % multiple for size in x.shape[1:3])
    return jnp.pad(x, ((0, 0), (0, rows), (0, columns), (0, 0)))


def unet_size(spec: UnetSpec, example_shape: Sequence[int], outputs: int) -> Size:
    """The size of a `unet`."""
    *image, channels = example_shape
    whole = math.prod(size + -size % 2**spec.depth for size in image)
    pixels = [whole // 4**level for level in range(spec.depth + 1)]
    convolved = dense = weights = 0
    for one in _convolutions(spec, channels):
        kernel = kernel_weights(spec.kernel**2 * one.channels, one.filters, spec.rank)
        weights, convolved = weights + kernel, convolved + kernel * pixels[one.level]
    for level, filters in enumerate(_filters(spec)[:-1]):
        kernel = 2 * filters * 4 * filters
        weights, dense = weights + kernel, dense + kernel * pixels[level + 1]
    head = spec.filters * outputs
    return Size(weights + head, dense + head * whole, convolved)
