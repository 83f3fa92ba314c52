"""Pictures of what a model looks at: an image, and beside it the size of each pixel's part."""

from __future__ import annotations

from pathlib import Path

import numpy as np

_LEAST_SIDE = 128


def beside(image: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """An image uint8 `[H, W, C]`, and beside it its parts `[H, W, C]`: the darker, the larger."""
    sizes = np.abs(parts.sum(-1))
    darkness = sizes / sizes.max() if sizes.max() > 0 else sizes
    map_ = np.rint(255 * (1 - darkness)).astype(np.uint8)[..., None]
    left = image if image.shape[-1] in (1, 3) else image[..., :1]
    whole = np.concatenate([left, np.broadcast_to(map_, left.shape)], axis=1)
    scale = max(1, -(-_LEAST_SIDE // image.shape[0]))
    return whole.repeat(scale, 0).repeat(scale, 1)


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write pixels as a PNG, with Pillow."""
    from PIL import Image  # of the extra `images`

    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)
