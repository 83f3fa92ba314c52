"""Two-dimensional convolutions in the form that suits the device.

On CPU, XLA runs the gradient of its own convolution inside a loop 10 to 40 times slower than
outside. All training steps run inside one. The convolution itself is fast there. So the CPU
form uses it for the forward pass and the input's gradient, and computes the kernel's gradient in
another way. Inside a loop, that of groups is as slow, and already the forward pass of a depthwise
convolution is a hundred times slower. So groups are convolved one by one, and a depthwise
convolution is a sum of products over shifted inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

# Two whole numbers for height and width, and the zeros before and after each.
Strides: TypeAlias = tuple[int, int]
Pads: TypeAlias = tuple[tuple[int, int], tuple[int, int]]

# The bytes that a part of the kernel's gradient reads. They fit a core's own cache, which makes the
# gradient up to three times faster than over the whole batch at once.
_CACHED_BYTES = 512 * 1024


class Conv(nnx.Module):  # type: ignore[misc]
    """A convolution whose form depends on the device it is compiled for."""

    def __init__(
        self,
        window: int | tuple[int, int],
        channels: int,
        filters: int,
        use_bias: bool,
        platform: str,
        dtype: Any,
        stride: int = 1,
        padding: str | Pads = "same",
        groups: int = 1,
    ) -> None:
        sizes = (window, window) if isinstance(window, int) else window
        self.kernel = nnx.Param(jnp.zeros((*sizes, channels // groups, filters)))
        self.bias = nnx.Param(jnp.zeros((filters,))) if use_bias else None
        self.platform, self.dtype = platform, dtype
        self.stride, self.padding, self.groups = stride, padding, groups
        self.rounder = nnx.data(None)

    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
        x = x if self.rounder is None else self.rounder.rounded(x, self.kernel[...])
        x, kernel = x.astype(self.dtype), self.kernel[...].astype(self.dtype)
        y = convolve(x, kernel, self.platform, self.stride, self.padding, self.groups)
        return y if self.bias is None else y + self.bias[...].astype(self.dtype)


def convolve(
    x: Float[Array, "B H W C"],
    kernel: Float[Array, "h w G D"],
    platform: str,
    stride: int = 1,
    padding: str | Pads = "same",
    groups: int = 1,
) -> Float[Array, "B H W D"]:
    """`x` convolved with `kernel`, in the form that is fastest on `platform`.

    Of `groups` equal groups of channels and filters, each filter sees the channels of its own.
    """
    strides = (stride, stride)
    if isinstance(padding, str):
        rows, columns = lax.padtype_to_pads(
            x.shape[1:3], kernel.shape[:2], strides, padding.upper()
        )
        pads = rows, columns
    else:
        pads = padding
    if platform != "cpu":
        return _plain(x, kernel, strides, pads, groups)
    if groups == 1:
        return _on_cpu(x, kernel, strides, pads)
    if groups == x.shape[3] == kernel.shape[3]:
        return _depthwise(x, kernel, strides, pads)
    return _by_group(x, kernel, strides, pads, groups)


def output_size(size: int, window: int, stride: int, padding: str) -> int:
    """The number of places of a window along an axis; 0 where the window is longer."""
    return -(-size // stride) if padding == "same" else max(size - window + stride, 0) // stride


def as_lax(
    x: Array,
    kernel: Array,
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    **options: Any,
) -> Array:
    """`lax.conv_general_dilated` as Flax calls it, in the form that is fast on CPU.

    It covers plain convolutions over images; others are left to XLA.
    """
    others = [value for name, value in options.items() if name != "dimension_numbers"]
    if x.ndim != 4 or not all(value in (None, 1, (1, 1)) for value in others):
        return lax.conv_general_dilated(x, kernel, strides, padding, **options)
    sizes = kernel.shape[:2]
    pads = padding
    if isinstance(padding, str):
        pads = lax.padtype_to_pads(x.shape[1:3], sizes, strides, padding)
    if [tuple(pad) for pad in pads] == [*_padding(kernel)]:
        y = _on_cpu(x, kernel, (1, 1), _padding(kernel))
    else:
        wide = _on_cpu(jnp.pad(x, ((0, 0), *pads, (0, 0))), kernel, (1, 1), _padding(kernel))
        # Where the window lies within the padded image.
        first = [(size - 1) // 2 for size in sizes]
        last = [n - size // 2 for n, size in zip(wide.shape[1:3], sizes, strict=True)]
        y = wide[:, first[0] : last[0], first[1] : last[1]]
    return y[:, :: strides[0], :: strides[1]]


def _plain(x: Array, kernel: Array, strides: Strides, pads: Pads, groups: int = 1) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        pads,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _by_group(x: Array, kernel: Array, strides: Strides, pads: Pads, groups: int) -> Array:
    """The convolutions of the groups, one after the other: their number costs no compile time."""
    image = x.shape[:3]
    *window, own, filters = kernel.shape
    parts = (
        jnp.moveaxis(x.reshape(*image, groups, own), 3, 0),
        jnp.moveaxis(kernel.reshape(*window, own, groups, filters // groups), 3, 0),
    )
    y = lax.map(lambda part: _on_cpu(*part, strides, pads), parts)
    return jnp.moveaxis(y, 0, 3).reshape(*y.shape[1:4], filters)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _on_cpu(x: Array, kernel: Array, strides: Strides, pads: Pads) -> Array:
    return _plain(x, kernel, strides, pads)


def _forward(
    x: Array, kernel: Array, strides: Strides, pads: Pads
) -> tuple[Array, tuple[Array, Array]]:
    return _plain(x, kernel, strides, pads), (x, kernel)


def _backward(
    strides: Strides, pads: Pads, saved: tuple[Array, Array], dy: Array
) -> tuple[Array, Array]:
    """The input's gradient as a plain convolution, the kernel's summed over parts of the batch."""
    x, kernel = saved
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    dx = lax.conv_general_dilated(
        dy,
        flipped,
        (1, 1),
        _pads_back(x, kernel, strides, pads, dy),
        lhs_dilation=strides,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )

    examples = x.shape[0]
    size = max(1, min(examples, _CACHED_BYTES // _example_bytes(x, kernel, dy)))

    def part(start: Array | int, size: int) -> Array:
        some_x, some_dy = (lax.dynamic_slice_in_dim(a, start, size) for a in (x, dy))
        return _kernel_gradient(some_x, kernel, some_dy, strides, pads)

    whole = examples // size
    gradient = part(0, size)
    gradient = lax.fori_loop(1, whole, lambda i, sum_: sum_ + part(i * size, size), gradient)
    if rest := examples - whole * size:
        gradient += part(whole * size, rest)
    return dx, gradient.reshape(kernel.shape).astype(kernel.dtype)


_on_cpu.defvjp(_forward, _backward)


def _kernel_gradient(x: Array, kernel: Array, dy: Array, strides: Strides, pads: Pads) -> Array:
    """`[h, w * C, D]`: for each row of the window, one product of the shifted inputs and `dy`."""
    height, width, channels, filters = kernel.shape
    (down, across), (rows, columns) = strides, dy.shape[1:3]
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    beside = jnp.concatenate(
        [padded[:, :, j : j + (columns - 1) * across + 1 : across] for j in range(width)], axis=-1
    )
    outputs = dy.reshape(-1, filters)
    return jnp.stack(
        [
            jnp.matmul(
                beside[:, i : i + (rows - 1) * down + 1 : down].reshape(-1, width * channels).T,
                outputs,
                preferred_element_type=jnp.float32,
            )
            for i in range(height)
        ]
    )


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _depthwise(x: Array, kernel: Array, strides: Strides, pads: Pads) -> Array:
    """The sum of products of shifted inputs, in float32, and a number for each channel."""
    wide = jnp.pad(x, ((0, 0), *pads, (0, 0))).astype(jnp.float32)
    sizes = [
        (n - window) // stride + 1
        for n, window, stride in zip(wide.shape[1:3], kernel.shape[:2], strides, strict=True)
    ]
    factors = kernel.astype(jnp.float32).reshape(-1, kernel.shape[3])
    terms = zip(shifted(wide, kernel.shape[:2], strides, sizes), factors, strict=True)
    return sum((part * factor for part, factor in terms), jnp.zeros((), wide.dtype)).astype(x.dtype)


def _depthwise_forward(
    x: Array, kernel: Array, strides: Strides, pads: Pads
) -> tuple[Array, tuple[Array, Array]]:
    return _depthwise(x, kernel, strides, pads), (x, kernel)


def _depthwise_backward(
    strides: Strides, pads: Pads, saved: tuple[Array, Array], dy: Array
) -> tuple[Array, Array]:
    """The input's gradient from shifted outputs, the kernel's summed over the examples."""
    x, kernel = saved
    back = _pads_back(x, kernel, strides, pads, dy)
    spread = [(*pad, stride - 1) for pad, stride in zip(back, strides, strict=True)]
    zero = jnp.zeros((), dy.dtype)
    wide = lax.pad(dy, zero, [(0, 0, 0), *spread, (0, 0, 0)])
    dx = _depthwise(wide, kernel[::-1, ::-1], (1, 1), ((0, 0), (0, 0)))
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))

    def example(i: Array | int) -> Array:
        one, of_one = (lax.dynamic_slice_in_dim(a, i, 1).astype(jnp.float32) for a in (padded, dy))
        parts = shifted(one, kernel.shape[:2], strides, dy.shape[1:3])
        return jnp.stack([(part * of_one).sum((0, 1, 2)) for part in parts])

    gradient = lax.fori_loop(1, x.shape[0], lambda i, sum_: sum_ + example(i), example(0))
    return dx, gradient.reshape(kernel.shape).astype(kernel.dtype)


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def shifted(
    x: Array, window: Sequence[int], strides: Strides, sizes: Sequence[int]
) -> Iterator[Array]:
    """For each place of a window, row by row, what it meets as the window moves over `x`.

    It moves to as many places as `sizes` says.
    """
    (down, across), (rows, columns) = strides, sizes
    for i in range(window[0]):
        for j in range(window[1]):
            yield x[
                :, i : i + (rows - 1) * down + 1 : down, j : j + (columns - 1) * across + 1 : across
            ]


def _pads_back(x: Array, kernel: Array, strides: Strides, pads: Pads, dy: Array) -> Pads:
    """The zeros around the outputs' gradient from which the inputs' is a convolution."""
    before = [size - 1 - pad for size, (pad, _) in zip(kernel.shape[:2], pads, strict=True)]
    top, left = before
    spread = [(n - 1) * stride + 1 for n, stride in zip(dy.shape[1:3], strides, strict=True)]
    after = [
        n + size - 1 - wide - first
        for n, size, wide, first in zip(x.shape[1:3], kernel.shape[:2], spread, before, strict=True)
    ]
    return (top, after[0]), (left, after[1])


def _example_bytes(x: Array, kernel: Array, dy: Array) -> int:
    _, width, channels, filters = kernel.shape
    return int(dy.shape[1] * dy.shape[2] * (width * channels + filters) * x.dtype.itemsize)


def _padding(kernel: Array) -> Pads:
    height, width = kernel.shape[:2]
    return ((height - 1) // 2, height // 2), ((width - 1) // 2, width // 2)
