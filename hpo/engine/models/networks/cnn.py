"""The convolutional network for images."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from hpo.engine.models.abstract import Shapes
from hpo.engine.models.convolution import convolve
from hpo.engine.models.dropout import Dropout
from hpo.engine.models.layers import activated, norm_layers, normalised
from hpo.engine.models.sizes import Size
from hpo.engine.oneof import number_of, options_of
from hpo.spec.sections.models.images import Cnn as CnnSpec


class Conv(nnx.Module):  # type: ignore[misc]
    """A convolution whose form depends on the device it is compiled for."""

    def __init__(
        self, kernel: int, channels: int, filters: int, use_bias: bool, platform: str, dtype: Any
    ) -> None:
        self.kernel = nnx.Param(jnp.zeros((kernel, kernel, channels, filters)))
        self.bias = nnx.Param(jnp.zeros((filters,))) if use_bias else None
        self.platform, self.dtype = platform, dtype

    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W D"]:
        y = convolve(x.astype(self.dtype), self.kernel[...].astype(self.dtype), self.platform)
        return y if self.bias is None else y + self.bias[...].astype(self.dtype)


class Cnn(nnx.Module):  # type: ignore[misc]
    """`cnn`: convolution, norm, activation, 2x2 max pooling for each of `filters`; a dense head."""

    def __init__(self, spec: CnnSpec, shapes: Shapes, rngs: nnx.Rngs) -> None:
        inputs, outputs, platform, dtype, *_ = shapes
        height, width, channels = inputs
        # The gradient of a bias before a batch norm is only rounding noise, which Adam would
        # amplify.
        use_bias = spec.bias and spec.norm != "batch"
        sizes = (channels, *spec.filters)
        self.convs = nnx.List(
            [
                Conv(spec.kernel, n, m, use_bias, platform, dtype)
                for n, m in itertools.pairwise(sizes)
            ]
        )
        self.norms = norm_layers(spec.norm, spec.filters, dtype, rngs)
        for _ in spec.filters:
            height, width = _pooled(height), _pooled(width)
        flat = height * width * spec.filters[-1]
        dense = max(options_of(spec.dense))
        self.dense = nnx.Linear(flat, dense, use_bias=spec.bias, dtype=dtype, rngs=rngs)
        self.head = nnx.Linear(dense, outputs, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B H W C"], spec: CnnSpec, *, train: bool, dropout: Dropout
    ) -> Float[Array, "B K"]:
        """Logits, or predictions of a regression."""
        for i, (conv, filters) in enumerate(zip(self.convs, spec.filters, strict=True)):
            x = normalised(self.norms, i, conv(x), filters, train)
            x = _max_pool(activated(spec, x, filters))
        dense = number_of(spec.dense, int)
        x = activated(spec, self.dense(x.reshape(x.shape[0], -1)), dense)
        return self.head(dropout(x, layer=0))


def _pooled(size: int) -> int:
    return max(size // 2, 1)


@jax.custom_vjp
def _max_pool(x: Float[Array, "B H W C"]) -> Float[Array, "B h w C"]:
    """The largest of each 2x2 window; an axis of length 1 stays, an odd last row is dropped."""
    return _windows(x).max((2, 4))


def _forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
    y = _max_pool(x)
    return y, (x, y)


def _backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array]:
    """A window's gradient goes to the first of its largest values.

    On CPU this is faster than JAX's own gradient, which divides it among ties.
    """
    x, y = saved
    windows, largest, dy = _windows(x), y[:, :, None, :, None], dy[:, :, None, :, None]
    tall, wide = windows.shape[2], windows.shape[4]
    position = jnp.arange(tall * wide).reshape(tall, 1, wide, 1)
    first = jnp.where(windows == largest, position, tall * wide).min((2, 4), keepdims=True)
    dx = jnp.where(position == first, dy, jnp.zeros((), dy.dtype))
    dx = dx.reshape(len(x), dx.shape[1] * tall, dx.shape[3] * wide, -1)
    height, width = x.shape[1] - dx.shape[1], x.shape[2] - dx.shape[2]
    return (jnp.pad(dx, ((0, 0), (0, height), (0, width), (0, 0))),)


_max_pool.defvjp(_forward, _backward)


def _windows(x: Float[Array, "B H W C"]) -> Float[Array, "B h tall w wide C"]:
    # On CPU, the gradient of XLA's window reduction takes as long as those of two convolutions.
    batch, height, width, channels = x.shape
    tall, wide = min(height, 2), min(width, 2)
    rows, columns = height // tall, width // wide
    return x[:, : rows * tall, : columns * wide].reshape(batch, rows, tall, columns, wide, channels)


def cnn_size(spec: CnnSpec, example_shape: Sequence[int], outputs: int) -> Size:
    """The size of a `cnn`."""
    height, width, channels = example_shape
    weights = convolved = 0
    for filters in spec.filters:
        kernel = spec.kernel**2 * channels * filters
        weights, convolved = weights + kernel, convolved + kernel * height * width
        height, width, channels = max(height // 2, 1), max(width // 2, 1), filters
    dense = max(options_of(spec.dense))
    head = height * width * channels * dense + dense * outputs
    return Size(weights + head, head, convolved)
