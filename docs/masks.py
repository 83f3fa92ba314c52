"""Draws the masks that a trained model finds, below the images and the true masks.

hpo search configs/segmentation.yaml && hpo export segmentation -o best.yaml
hpo train best.yaml -o model --set train.epochs=6
python docs/masks.py best.yaml model docs/masks.png
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from hpo.data.load import load_data
from hpo.engine.program import split
from hpo.engine.training.forward import forward
from hpo.engine.training.pretrained import Start, started
from hpo.engine.training.supervised import initial_lane, own_weights
from hpo.spec.load import load_experiment, require_single
from hpo.trained.weights import read_weights

_IMAGES, _SCALE, _GAP = 6, 3, 4
_COLOURS = np.array([[40, 40, 40], [230, 120, 60], [80, 160, 230], [120, 200, 90]], np.uint8)


def masks(spec: Path, folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first test images of a spec, their true masks, and those of the model in a folder."""
    experiment = load_experiment(spec)
    training = require_single(experiment)
    data = load_data(training.data, experiment.folder, None)
    program, _ = split(training, data, "cpu")
    start = Start(str(folder), read_weights(folder, str(folder)).arrays, keeps_head=True)
    lane = own_weights(program, training, initial_lane(program, training))
    own = dict(zip(("params", "variables"), lane, strict=True))
    weights = started(start, own, program.outputs)
    assert data.test is not None, "the spec has test rows"
    x, y = (data.test.arrays[name][:_IMAGES] for name in "xy")
    outputs: Any = jax.jit(
        lambda batch: forward(program, training.model, *weights.values(), batch)
    )({"x": x})[0]
    return x, y, np.asarray(outputs).argmax(-1)


def picture(x: np.ndarray, y: np.ndarray, found: np.ndarray) -> Image.Image:
    """Three rows: the images in grey, the true masks, and the masks that were found."""
    grey = np.clip((x[..., 0] - x.min()) / (x.max() - x.min()) * 255, 0, 255).astype(np.uint8)
    rows = [np.repeat(grey[..., None], 3, -1), _COLOURS[y], _COLOURS[found]]
    framed = [
        [np.pad(image, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255) for image in row]
        for row in [[each.repeat(_SCALE, 0).repeat(_SCALE, 1) for each in row] for row in rows]
    ]
    whole = np.concatenate([np.concatenate(row, axis=1) for row in framed])
    return Image.fromarray(whole).quantize(64)


if __name__ == "__main__":
    picture(*masks(Path(sys.argv[1]), Path(sys.argv[2]))).save(sys.argv[3], optimize=True)
