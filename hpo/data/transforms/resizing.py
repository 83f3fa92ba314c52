"""Images made smaller: bilinear, and antialiased, so that every pixel counts.

The pixels that are whole numbers are Pillow's to the last bit. All sums are taken in one order, so
that the results are the same on every machine.
"""

from __future__ import annotations

import math

import numpy as np

from hpo.data import mapped
from hpo.errors import DataError

_IMAGES_AT_ONCE = 1024
# Whole pixels are summed with weights of this many bits, as in Pillow.
BITS = 22


def smaller(shape: tuple[int, ...], longer: int) -> tuple[int, int]:
    """The height and width of images of a shape `[height, width, ...]` with this longer side.

    Raises:
        DataError: for one that is longer than theirs.
    """
    height, width = shape[:2]
    most = max(height, width)
    if longer > most:
        raise DataError(
            f"data.image_size: {longer} is more than the {most} pixels of the images: write {most} "
            "or less, or remove it."
        )
    # Halves are rounded up, in whole numbers.
    sides = (max(1, (2 * side * longer + most) // (2 * most)) for side in (height, width))
    return next(sides), next(sides)


def resized(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Images `[N, height, width, channels]` in a size `(height, width)` that is not larger.

    Each pixel is a mean, with the weights of a triangle over the pixels that it covers.
    """
    if x.shape[1:3] == size:
        return x
    is_kept = x.dtype == np.uint8 or x.dtype.kind == "f"
    out = mapped.empty((len(x), *size, *x.shape[3:]), x.dtype if is_kept else np.dtype(np.float64))
    for start in range(0, len(x), _IMAGES_AT_ONCE):
        rows = slice(start, start + _IMAGES_AT_ONCE)
        pixels = x[rows].astype(out.dtype, copy=False)
        out[rows] = _along(_along(pixels, 2, size[1]), 1, size[0])
    return out


def matrix_of(old: int, new: int) -> np.ndarray:
    """The weights of `old` pixels in each of the `new` ones, float64 `[new, old]`."""
    found = np.zeros((new, old))
    places, weights = _taps(old, new)
    np.add.at(found, (np.arange(new)[:, None], places), weights)
    return found


def spread(parts: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Numbers of the pixels of smaller images, divided among the pixels that these are means of."""
    height, width = (matrix_of(old, new) for old, new in zip(size, parts.shape[1:3], strict=True))
    found: np.ndarray = np.einsum("nvwc,vh,wx->nhxc", parts, height, width, optimize=True)
    return found


def _taps(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that each new one is a mean of, int64 `[new, taps]`, and their float64 weights.

    Pixels outside of the image have the weight 0.
    """
    scale = old / new
    centres = (np.arange(new) + 0.5) * scale
    first = np.maximum(0, (centres - scale + 0.5).astype(np.int64))
    places = first[:, None] + np.arange(2 * math.ceil(scale) + 1)
    weights = np.maximum(0, 1 - np.abs((places + 0.5 - centres[:, None]) / scale))
    weights[places >= old] = 0
    return np.minimum(places, old - 1), weights / weights.sum(axis=1, keepdims=True)


def _along(x: np.ndarray, axis: int, new: int) -> np.ndarray:
    """Images with `new` pixels along an axis, in their own type."""
    if x.shape[axis] == new:
        return x
    places, weights = _taps(x.shape[axis], new)
    is_whole = x.dtype == np.uint8
    if is_whole:
        weights = (0.5 + weights * (1 << BITS)).astype(np.int32)
    shape = [1] * x.ndim
    shape[axis] = new
    half = 1 << (BITS - 1) if is_whole else 0
    total = np.full((*x.shape[:axis], new, *x.shape[axis + 1 :]), half, weights.dtype)
    for place, weight in zip(places.T, weights.T, strict=True):
        total += np.take(x, place, axis=axis) * weight.reshape(shape)
    # The weights add up to 1 or a hair more, so no pixel is above 255.
    return (total >> BITS if is_whole else total).astype(x.dtype)
