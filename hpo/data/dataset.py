"""A data set as the engine takes it: split, encoded and scaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hpo.data.transform import FittedTransform
from hpo.spec.sections.data import Task

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of a data set as named arrays, with one element a row on their first axis.

    There are always `x`, float32 `[N, ...]`, and `y`, int32 or float32 `[N]`. Images are
    `[N, height, width, channels]`, tables `[N, features]`. Where the data set has weights there is
    `weight`, float32 `[N]`, with a mean of 1 over the training split.
    """

    arrays: Mapping[str, np.ndarray]

    @property
    def x(self) -> np.ndarray:
        """The features of every row."""
        return self.arrays["x"]

    @property
    def y(self) -> np.ndarray:
        """The class number or the scaled target of every row."""
        return self.arrays["y"]

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, eq=False)
class DataSet:
    """The splits of a data set and what is needed to read a model's outputs.

    `transform` made the features and the targets of every split from the examples as read.
    `outputs` is the number of classes, or 1 for a regression. `fingerprint` is a hash of every
    split as read and of how it is scaled: a study compares it to notice changed data. It is the
    same on every machine.
    """

    task: Task
    train: Split
    validation: Split
    test: Split | None
    outputs: int
    fingerprint: str
    classes: tuple[str, ...] = ()
    transform: FittedTransform = field(default_factory=FittedTransform)

    @property
    def target_mean(self) -> float:
        """What is subtracted from a regression target, in the target's own unit."""
        return float(self.transform.target_mean)

    @property
    def target_std(self) -> float:
        """The divisor of a regression target: metrics are multiplied by it."""
        return float(self.transform.target_std)
