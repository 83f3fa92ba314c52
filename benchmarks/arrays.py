"""Writes the data of a spec for the peers: `python benchmarks/arrays.py SPEC FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from hpo.api.surroundings import data_home
from hpo.data.dataset import Split
from hpo.data.load import load_data
from hpo.spec.load import load_experiment


def main(spec: Path, file: Path) -> None:
    """Write the rows for training and validation, those of a fold together."""
    data = load_data(load_experiment(spec).training.data, spec.parent, data_home())
    x, x_val = data.train.x, data.validation.x
    y, y_val = targets(data.train), targets(data.validation)
    if data.folds:
        x, y = np.concatenate([x, x_val]), np.concatenate([y, y_val])
    unit = np.sqrt(np.mean(np.square(data.target_std)))
    np.savez(file, x=x, y=y, x_val=x_val, y_val=y_val, unit=unit, folds=len(data.folds))


def targets(split: Split) -> np.ndarray:
    """The classes of a split, or the values of a regression as `[N, outputs]`."""
    return split.y.reshape(len(split), -1) if split.y.dtype.kind == "f" else split.y


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
