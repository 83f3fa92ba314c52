"""Write the digits of scikit-learn as PNG files, a folder for each class, for `images.yaml`."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


def write(folder: Path) -> None:
    """Write the images below `folder`, as in `3/0012.png`."""
    digits = load_digits()
    pixels = (digits.images * 15).astype(np.uint8)  # [N, height, width], 0 to 240
    for number, (image, digit) in enumerate(zip(pixels, digits.target, strict=True)):
        (folder / str(digit)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / str(digit) / f"{number:04}.png")


if __name__ == "__main__":
    write(Path(__file__).parent / "digit_images")
