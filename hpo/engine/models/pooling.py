"""Pooling over windows of an image, fast inside a loop on CPU.

There, the gradient of XLA's own window reduction takes as long as those of two convolutions.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from hpo.engine.models.convolution import Pads, Strides, output_size, shifted
from hpo.spec.sections.models.images import Pooling, of_layer


def pooled(x: Float[Array, "B H W C"], pooling: Pooling) -> Float[Array, "B h w C"]:
    """The largest value, or the mean, of each window of an image.

    Without padding, rows and columns that fill no window are dropped, and a window is at most as
    large as the image. A mean is over the pixels of the image alone, without the padding.
    """
    if pooling.name == "none":
        return x
    size, stride = _window(pooling)
    if pooling == Pooling():
        return _two_by_two(x)
    pads: Pads = ((0, 0), (0, 0))
    window = size, size
    if pooling.padding == "same":
        rows, columns = lax.padtype_to_pads(x.shape[1:3], window, (stride, stride), "SAME")
        pads = rows, columns
    else:
        window = min(size, x.shape[1]), min(size, x.shape[2])
    pool = _largest if pooling.name == "max" else _mean
    return pool(x, window, (stride, stride), pads)


def pooled_size(size: int, pooling: Pooling) -> int:
    """The length of an axis after pooling."""
    if pooling.name == "none":
        return size
    return max(output_size(size, *_window(pooling), pooling.padding), 1)


def _window(pooling: Pooling) -> tuple[int, int]:
    """Size and stride of the windows of a layer."""
    size, stride = of_layer(pooling.size, 0), of_layer(pooling.stride, 0)
    return size, size if stride is None else stride


def _mean(x: Array, window: Strides, strides: Strides, pads: Pads) -> Array:
    sizes = _sizes(x, window, strides, pads)
    parts = shifted(_padded(x.astype(jnp.float32), pads, 0.0), window, strides, sizes)
    inside = _padded(jnp.ones((1, *x.shape[1:3], 1)), pads, 0.0)
    counts = sum(shifted(inside, window, strides, sizes), jnp.zeros(()))
    return (sum(parts, jnp.zeros(())) / counts).astype(x.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _largest(x: Array, window: Strides, strides: Strides, pads: Pads) -> Array:
    first, *others = _parts(x, window, strides, pads)
    for part in others:
        first = jnp.maximum(first, part)
    return first


def _forward(
    x: Array, window: Strides, strides: Strides, pads: Pads
) -> tuple[Array, tuple[Array, Array]]:
    y = _largest(x, window, strides, pads)
    return y, (x, y)


def _backward(
    window: Strides, strides: Strides, pads: Pads, saved: tuple[Array, Array], dy: Array
) -> tuple[Array]:
    """A window's gradient goes to the first of its largest values."""
    x, y = saved
    (top, _), (left, _) = pads
    zero, is_taken = jnp.zeros((), dy.dtype), jnp.zeros(y.shape, bool)
    dx = jnp.zeros(x.shape, dy.dtype)
    for place, part in enumerate(_parts(x, window, strides, pads)):
        is_first, is_taken = (part == y) & ~is_taken, is_taken | (part == y)
        spread = [
            # Negative where the window lies in the padding.
            (before, size - before - (n - 1) * stride - 1, stride - 1)
            for before, size, n, stride in zip(
                (place // window[1] - top, place % window[1] - left),
                x.shape[1:3],
                y.shape[1:3],
                strides,
                strict=True,
            )
        ]
        dx += lax.pad(jnp.where(is_first, dy, zero), zero, [(0, 0, 0), *spread, (0, 0, 0)])
    return (dx,)


_largest.defvjp(_forward, _backward)


def _parts(x: Array, window: Strides, strides: Strides, pads: Pads) -> list[Array]:
    sizes = _sizes(x, window, strides, pads)
    return [*shifted(_padded(x, pads, -jnp.inf), window, strides, sizes)]


def _padded(x: Array, pads: Pads, value: float) -> Array:
    return jnp.pad(x, ((0, 0), *pads, (0, 0)), constant_values=value)


def _sizes(x: Array, window: Strides, strides: Strides, pads: Pads) -> list[int]:
    return [
        (n + sum(pad) - size) // stride + 1
        for n, pad, size, stride in zip(x.shape[1:3], pads, window, strides, strict=True)
    ]


@jax.custom_vjp
def _two_by_two(x: Float[Array, "B H W C"]) -> Float[Array, "B h w C"]:
    """The largest of each 2x2 window; an axis of length 1 stays, an odd last row is dropped."""
    return _windows(x).max((2, 4))


def _forward_two_by_two(x: Array) -> tuple[Array, tuple[Array, Array]]:
    y = _two_by_two(x)
    return y, (x, y)


def _backward_two_by_two(saved: tuple[Array, Array], dy: Array) -> tuple[Array]:
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


_two_by_two.defvjp(_forward_two_by_two, _backward_two_by_two)


def _windows(x: Float[Array, "B H W C"]) -> Float[Array, "B h tall w wide C"]:
    batch, height, width, channels = x.shape
    tall, wide = min(height, 2), min(width, 2)
    rows, columns = height // tall, width // wide
    return x[:, : rows * tall, : columns * wide].reshape(batch, rows, tall, columns, wide, channels)
