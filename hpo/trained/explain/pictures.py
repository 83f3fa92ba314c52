"""Pictures of what a model looks at: an image, and beside it the size of each pixel's part."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

_LEAST_SIDE = 128
# Hues that are a golden section apart differ, however many there are.
_FIRST_HUE, _GOLDEN = 0.06, 0.618034


def beside(image: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """An image uint8 `[H, W, C]`, and beside it its parts `[H, W, C]`: the darker, the larger."""
    left = image if image.shape[-1] in (1, 3) else image[..., :1]
    whole = np.concatenate([left, np.broadcast_to(_map(parts), left.shape)], axis=1)
    return _enlarged(whole)


def masks_beside(
    image: np.ndarray, truth: np.ndarray, answer: np.ndarray, maps: Mapping[int, np.ndarray]
) -> np.ndarray:
    """An image `[H, W, C]`, and beside it its true mask, the one that is answered, and its maps.

    Masks hold the number of a class for each pixel. A map has the parts `[H, W, C]` of the pixels
    in the odds of a class, and a line in its colour before it. Numbers that are no uint8 are shown
    from the least one in the image, black, to the largest, white.
    """
    shown = image if image.shape[-1] in (1, 3) else image[..., :1]
    if shown.dtype != np.uint8:
        low, high = float(shown.min()), float(shown.max())
        shown = np.rint(255 * (shown - low) / max(high - low, 1e-12)).astype(np.uint8)
    height, width = truth.shape
    colours = class_colours(1 + max(int(truth.max()), int(answer.max()), *maps, 0))
    gap = np.full((height, 1, 3), 255, np.uint8)
    panels = [np.broadcast_to(shown, (height, width, 3))]
    for mask in (truth, answer):
        panels += [gap, colours[mask]]
    for number, parts in maps.items():
        panels += [gap, gap * 0 + colours[number], np.broadcast_to(_map(parts), (height, width, 3))]
    return _enlarged(np.concatenate(panels, axis=1))


def class_colours(count: int) -> np.ndarray:
    """A colour for each class, uint8 `[count, 3]`: dark grey for the first one, mostly none."""
    hues = (_FIRST_HUE + _GOLDEN * np.arange(count - 1)) % 1
    bright = [colorsys.hsv_to_rgb(float(hue), 0.7, 0.9) for hue in hues]
    found: np.ndarray = np.rint(255 * np.array([(0.15, 0.15, 0.15), *bright])).astype(np.uint8)
    return found


def _map(parts: np.ndarray) -> np.ndarray:
    """The sizes of the parts of pixels as uint8 `[H, W, 1]`: the darker, the larger."""
    sizes = np.abs(parts.sum(-1))
    darkness = sizes / sizes.max() if sizes.max() > 0 else sizes
    found: np.ndarray = np.rint(255 * (1 - darkness)).astype(np.uint8)[..., None]
    return found


def _enlarged(pixels: np.ndarray) -> np.ndarray:
    """Pixels as squares, where an image is small."""
    scale = max(1, -(-_LEAST_SIDE // pixels.shape[0]))
    found: np.ndarray = pixels.repeat(scale, 0).repeat(scale, 1)
    return found


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write pixels as a PNG, with Pillow."""
    from PIL import Image  # of the extra `images`

    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)
