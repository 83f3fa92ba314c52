# data.py
from pathlib import Path

import numpy as np


def load(path: Path, least: float = 0.0):
    """The rows of a text file whose last number, the target, is large enough."""
    table = np.loadtxt(path, delimiter=";")
    table = table[table[:, -1] >= least]
    return {"x": table[:, :-1], "y": table[:, -1]}
