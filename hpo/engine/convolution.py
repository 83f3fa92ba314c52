"""Two-dimensional convolutions (stride 1, same padding) in the form that suits the device.

On CPU, XLA runs the gradient of its own convolution inside a loop 10 to 40 times slower than
outside, and every training step of ours is inside one. So the CPU form has a gradient of its own,
or none of XLA's convolution at all where there are few input channels.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

# Below this many products an output element, one matrix product over patches is the quickest.
_FEW_PRODUCTS = 64


def convolve(
    x: Float[Array, "B H W C"], kernel: Float[Array, "h w C D"], platform: str
) -> Float[Array, "B H W D"]:
    """`x` convolved with `kernel`, in the form that is quickest on `platform`."""
    if platform != "cpu":
        return _plain(x, kernel)
    height, width, channels, _ = kernel.shape
    if height * width * channels <= _FEW_PRODUCTS:
        return _over_patches(x, kernel)
    return _shifted(x, kernel)


def _plain(x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(
        x, kernel, (1, 1), _padding(kernel), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _over_patches(x: Array, kernel: Array) -> Array:
    """One matrix product over the shifted copies of `x` laid side by side (im2col)."""
    height, width, channels, filters = kernel.shape
    patches = jnp.concatenate(_shifts(x, kernel), axis=-1)
    return patches @ kernel.reshape(height * width * channels, filters)


@jax.custom_vjp
def _shifted(x: Array, kernel: Array) -> Array:
    return _plain(x, kernel)


def _shifted_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _plain(x, kernel), (x, kernel)


def _shifted_backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    """The input's gradient as a plain convolution, the kernel's as one product for each shift."""
    x, kernel = saved
    channels, filters = kernel.shape[2:]
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    (top, bottom), (left, right) = _padding(kernel)
    dx = lax.conv_general_dilated(
        dy,
        flipped,
        (1, 1),
        ((bottom, top), (right, left)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    rows = dy.reshape(-1, filters)
    shifts = [shift.reshape(-1, channels).T @ rows for shift in _shifts(x, kernel)]
    return dx, jnp.stack(shifts).reshape(kernel.shape)


_shifted.defvjp(_shifted_forward, _shifted_backward)


def _padding(kernel: Array) -> tuple[tuple[int, int], tuple[int, int]]:
    height, width = kernel.shape[:2]
    return ((height - 1) // 2, height // 2), ((width - 1) // 2, width // 2)


def _shifts(x: Array, kernel: Array) -> list[Array]:
    height, width = kernel.shape[:2]
    rows, columns = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), *_padding(kernel), (0, 0)))
    return [padded[:, i : i + rows, j : j + columns] for i in range(height) for j in range(width)]
