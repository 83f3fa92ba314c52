"""A data set as the engine takes it: split, encoded and scaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from hpo.data.transforms.transform import FittedTransform
from hpo.spec.sections.data import Task

SPLITS = ("train", "validation", "test")


def gather(arrays: Mapping[str, Any], rows: Any) -> dict[str, Any]:
    """The named arrays at these rows: a batch, a chunk or a split, on the host or on a device.

    `rows` is an index of the first axis: whole numbers of any shape, or a slice. On the host, a
    slice gives views, which take no memory.
    """
    return {name: _at(array, rows) for name, array in arrays.items()}


def _at(array: Any, rows: Any) -> Any:
    if isinstance(array, np.ndarray) and isinstance(rows, np.ndarray):
        return np.take(array, rows, axis=0)  # unlike indexing, it lets other threads run meanwhile
    return array[rows]


@dataclass(frozen=True, eq=False)
class Split:
    """An index of rows into named arrays, which the other splits of a data set share.

    `x` is float32: `[N, height, width, channels]` for images, `[N, features]` for tables. The ids
    of the tokens of texts are int32 `[N, length]`. `y` is
    int32 or float32 `[N]`, and float32 `[N, targets]` for several targets. A data set with weights
    has `weight` too, float32 `[N]`, whose mean over the training split is 1.
    """

    shared: Mapping[str, np.ndarray]
    rows: slice | np.ndarray = field(default_factory=lambda: slice(None))  # by default, all

    @cached_property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The arrays of the rows of this split alone: views, if the rows are a slice."""
        return gather(self.shared, self.rows)

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

    `transform` made the features and targets of every split from the examples as read. `outputs` is
    the number of classes, or of targets. `fingerprint` is a hash of every split as read and
    of its scaling, the same on every machine. A study compares it to notice changed data.
    `notes` say what the reader did that the user should know.
    """

    task: Task
    train: Split
    validation: Split
    test: Split | None
    outputs: int
    fingerprint: str
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    transform: FittedTransform = field(default_factory=FittedTransform)

    @property
    def vocabulary(self) -> int:
        """The number of different ids in `x`, of which 0 is padding; 0 if `x` holds features."""
        return self.transform.ids

    @property
    def target_mean(self) -> Any:
        """What is subtracted from a regression target, in its own unit; an array for several."""
        return _number(self.transform.target_mean)

    @property
    def target_std(self) -> Any:
        """The divisor of a regression target, by which errors are multiplied; or an array."""
        return _number(self.transform.target_std)


def _number(array: np.ndarray) -> Any:
    return float(array) if array.ndim == 0 else array


# What a training without data has in the place of a data set.
NO_DATA = DataSet(
    task="regression",
    train=Split({"y": np.zeros(0, np.float32)}),
    validation=Split({"y": np.zeros(0, np.float32)}),
    test=None,
    outputs=0,
    fingerprint="",
)
