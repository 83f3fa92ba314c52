"""Small data sets of every task, with outcomes that features explain in part."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.data.transforms.transform import FittedTransform

ROWS = (60, 20, 20)  # of the training, validation and test split


def a_data_set(task: Any, outputs: int, *, weighted: bool = False, seed: int = 0) -> DataSet:
    """A data set of four features."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((sum(ROWS), 4)).astype(np.float32)
    signal = x @ rng.standard_normal((4, outputs)) + rng.standard_normal((sum(ROWS), outputs))
    y: np.ndarray = signal.astype(np.float32)
    transform = FittedTransform()
    if task == "classification":
        y = signal.argmax(1).astype(np.int32)
    elif task == "multilabel":
        y = (signal > 0).astype(np.float32)
    elif task == "counts":
        y = rng.poisson(np.exp(signal[:, 0] / 2)).astype(np.float32)
    elif outputs == 1:
        y = y[:, 0]
        transform = FittedTransform(target_mean=np.array(5.0), target_std=np.array(2.0))
    arrays = {"x": x, "y": y}
    if weighted:
        arrays["weight"] = rng.uniform(0.1, 2.0, sum(ROWS)).astype(np.float32)
    ends = np.cumsum([0, *ROWS]).tolist()
    train, validation, test = (Split(arrays, slice(*two)) for two in pairwise(ends))
    return DataSet(task, train, validation, test, outputs, "known", transform=transform)
