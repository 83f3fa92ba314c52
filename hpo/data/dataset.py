"""A data set: `Source` as a reader gives it, `DataSet` as the engine takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from hpo.spec.sections.data import Task

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Source:
    """Examples as read, before they are split, encoded and scaled.

    `x` is uint8 `[N, height, width, channels]` for images; for tables it holds the numeric columns,
    float64 `[N, features]` with NaN where a cell is empty. `categories` holds the text columns of a
    table as the numbers of their values, int32 `[N, columns]` with -1 where a cell is empty.
    `y` is int32 numbers of `classes`, or float64 targets where there are no classes.
    `target` says in a message what `y` is: the file, and its column where it has columns.
    `weight` is float64 `[N]`, a weight of 0 or more for each example, or None.
    """

    x: np.ndarray
    y: np.ndarray
    target: str
    classes: tuple[str, ...] = ()
    categories: np.ndarray | None = None
    weight: np.ndarray | None = None
    has_empty_cells: bool = False  # in any row, so that every split is treated alike
    test: Source | None = None  # the set's own test files

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> Source:
        """The examples in these rows, alone."""
        return replace(
            self,
            x=self.x[rows],
            y=self.y[rows],
            categories=None if self.categories is None else self.categories[rows],
            weight=None if self.weight is None else self.weight[rows],
            test=None,
        )


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

    A regression target is standardised with the training split's `target_mean` and `target_std`;
    metrics are reported in the target's own unit. `outputs` is the number of classes, or 1.
    `fingerprint` is a hash of every split as read and of how it is scaled, so that a study notices
    that its data have changed; it is the same on every machine.
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
