"""Examples as a reader gives them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


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
