# squares.py
import numpy as np


def draw(rows: int = 400, size: int = 16, seed: int = 0):
    """Images `[rows, size, size, 1]` and a class for each pixel: 0 nothing, 1 bright, 2 dark."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, size, size, 1)).astype(np.float32)
    y = np.zeros((rows, size, size), np.int32)
    for image, mask in zip(x, y, strict=True):
        for number, light in ((1, 2.0), (2, -2.0)):
            side = rng.integers(3, 7)
            i, j = rng.integers(0, size - side, 2)
            image[i : i + side, j : j + side] = light + rng.standard_normal((side, side, 1))
            mask[i : i + side, j : j + side] = number
    return {"x": x, "y": y}
