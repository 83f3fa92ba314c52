# shapes.py
import numpy as np


def draw(rows: int = 600, size: int = 30, noise: float = 0.6, seed: int = 0):
    """Noisy images `[rows, size, size, 1]`; pixels of class 1 are a disc, 2 a square, 3 a ring."""
    rng = np.random.default_rng(seed)
    y = np.zeros((rows, size, size), np.int32)
    x = rng.normal(0, noise, (rows, size, size, 1)).astype(np.float32)
    i, j = np.indices((size, size))
    for image, mask in zip(x[..., 0], y, strict=True):
        for kind in rng.permutation([1, 2, 3]):
            (top, left), half = rng.integers(0, size, 2), rng.integers(3, 7)
            far = np.hypot(i - top, j - left)
            if kind == 1:
                inside = far <= half
            elif kind == 2:
                inside = np.maximum(abs(i - top), abs(j - left)) <= half
            else:
                inside = (far <= half + 1) & (far >= half - 1)
            light = rng.uniform(0.8, 1.6)
            image[inside] = light + rng.normal(0, noise, inside.sum())
            mask[inside] = kind
    return {"x": x, "y": y}
