"""Two-dimensional convolutions (stride 1, same padding) in the form that suits the device.

On CPU, XLA runs the gradient of its own convolution inside a loop 10 to 40 times slower than
outside, and all training steps run inside one. The convolution itself is fast there. So the CPU
form uses it for the forward pass and the input's gradient, and computes the kernel's gradient in
another way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

# The bytes that a part of the kernel's gradient reads. They fit a core's own cache, which makes the
# gradient up to three times faster than over the whole batch at once.
_CACHED_BYTES = 512 * 1024


def convolve(
    x: Float[Array, "B H W C"], kernel: Float[Array, "h w C D"], platform: str
) -> Float[Array, "B H W D"]:
    """`x` convolved with `kernel`, in the form that is fastest on `platform`."""
    return _on_cpu(x, kernel) if platform == "cpu" else _plain(x, kernel)


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
        y = _on_cpu(x, kernel)
    else:
        wide = _on_cpu(jnp.pad(x, ((0, 0), *pads, (0, 0))), kernel)
        # Where the window lies within the padded image.
        first = [(size - 1) // 2 for size in sizes]
        last = [n - size // 2 for n, size in zip(wide.shape[1:3], sizes, strict=True)]
        y = wide[:, first[0] : last[0], first[1] : last[1]]
    return y[:, :: strides[0], :: strides[1]]


def _plain(x: Array, kernel: Array) -> Array:
    return _convolution(x, kernel, _padding(kernel))


@jax.custom_vjp
def _on_cpu(x: Array, kernel: Array) -> Array:
    return _plain(x, kernel)


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _plain(x, kernel), (x, kernel)


def _backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    """The input's gradient as a plain convolution, the kernel's summed over parts of the batch."""
    x, kernel = saved
    (top, bottom), (left, right) = _padding(kernel)
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    dx = _convolution(dy, flipped, ((bottom, top), (right, left)))

    examples = x.shape[0]
    size = max(1, min(examples, _CACHED_BYTES // _example_bytes(x, kernel)))

    def part(start: Array | int, size: int) -> Array:
        some_x, some_dy = (lax.dynamic_slice_in_dim(a, start, size) for a in (x, dy))
        return _kernel_gradient(some_x, kernel, some_dy)

    whole = examples // size
    gradient = part(0, size)
    gradient = lax.fori_loop(1, whole, lambda i, sum_: sum_ + part(i * size, size), gradient)
    if rest := examples - whole * size:
        gradient += part(whole * size, rest)
    return dx, gradient.reshape(kernel.shape).astype(kernel.dtype)


_on_cpu.defvjp(_forward, _backward)


def _kernel_gradient(x: Array, kernel: Array, dy: Array) -> Array:
    """`[h, w * C, D]`: for each row of the window, one product of the shifted inputs and `dy`."""
    height, width, channels, filters = kernel.shape
    rows, columns = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), *_padding(kernel), (0, 0)))
    beside = jnp.concatenate([padded[:, :, j : j + columns] for j in range(width)], axis=-1)
    outputs = dy.reshape(-1, filters)
    return jnp.stack(
        [
            jnp.matmul(
                beside[:, i : i + rows].reshape(-1, width * channels).T,
                outputs,
                preferred_element_type=jnp.float32,
            )
            for i in range(height)
        ]
    )


def _example_bytes(x: Array, kernel: Array) -> int:
    _, width, channels, filters = kernel.shape
    return int(x.shape[1] * x.shape[2] * (width * channels + filters) * x.dtype.itemsize)


def _convolution(
    x: Array, kernel: Array, padding: tuple[tuple[int, int], tuple[int, int]]
) -> Array:
    return lax.conv_general_dilated(
        x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _padding(kernel: Array) -> tuple[tuple[int, int], tuple[int, int]]:
    height, width = kernel.shape[:2]
    return ((height - 1) // 2, height // 2), ((width - 1) // 2, width // 2)
