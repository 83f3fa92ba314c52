"""A data set as the engine takes it: float32 features and targets, split and preprocessed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpo.spec.data import Task


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of a data set: `x` is float32 `[N, ...]`; `y` is int32 `[N]` or float32 `[N]`.

    Images are `[N, height, width, channels]`, tables `[N, features]`.
    """

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, eq=False)
class DataSet:
    """The splits of a data set and what is needed to read a model's outputs.

    A regression target is standardised with the training split's `target_mean` and `target_std`;
    metrics are reported in the target's own unit. `outputs` is the number of classes, or 1.
    `fingerprint` is a hash of every array, so that a study notices that its data have changed.
    """

    task: Task
    train: Split
    validation: Split
    test: Split | None
    outputs: int
    fingerprint: str
    classes: tuple[str, ...] = ()
    target_mean: float = 0.0
    target_std: float = 1.0
