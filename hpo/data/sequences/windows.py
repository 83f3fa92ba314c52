"""Windows of one array, such as a series or a text, as the rows of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


class Part(NamedTuple):
    """An array of a window: `length` places from the place `first` on, of one column or of all.

    Without a length it is a single place, which takes no axis.
    """

    name: str
    first: int
    length: int | None
    column: int | None = None

    @property
    def end(self) -> int:
        """The place after the last one."""
        return self.first + (1 if self.length is None else self.length)

    def of(self, values: Any, starts: Any) -> Any:
        """The array of the windows that begin at these places, gathered on host or device."""
        places = starts + self.first
        if self.length is not None:
            places = places[..., None] + np.arange(self.length, dtype=np.int32)
        return values[places] if self.column is None else values[places, self.column]

    def view(self, values: np.ndarray, start: int, step: int, count: int) -> np.ndarray:
        """The array of `count` windows that begin every `step` places: it takes no memory."""
        kept = values if self.column is None else values[:, self.column]
        length = 1 if self.length is None else self.length
        windows = sliding_window_view(kept, length, axis=0)[start + self.first :: step][:count]
        # The places of a window come last there, after its columns.
        windows = np.moveaxis(windows, -1, 1)
        return windows[:, 0] if self.length is None else windows


@dataclass(frozen=True, eq=False)
class Windows(Mapping[str, Any]):
    """The arrays of a data set whose rows are windows of one array.

    `array` is `[T]` or `[T, columns]`, and a row begins at one of the `starts`, int32 `[N]`. By
    its name each part is an array `[N, ...]`: on the host a view of it where rows begin at
    equal distances, as those of a data set do. `at` gathers rows.
    """

    array: Any
    starts: Any
    parts: tuple[Part, ...]

    def __getitem__(self, name: str) -> Any:
        part = next((one for one in self.parts if one.name == name), None)
        if part is None:
            raise KeyError(name)
        start, step = int(self.starts[0]), int(np.diff(self.starts[:2], append=0)[0])
        if len(self.starts) > 1 and (np.diff(self.starts) == step).all() and step > 0:
            return part.view(self.array, start, step, len(self.starts))
        return part.of(self.array, self.starts)

    def __iter__(self) -> Iterator[str]:
        return (part.name for part in self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def nbytes(self) -> int:
        """The memory of the values and of the places where rows begin."""
        size: int = self.array.nbytes + self.starts.nbytes
        return size

    def at(self, rows: Any) -> Mapping[str, Any]:
        """The arrays of rows; those of a slice are windows of a part of the values, uncopied."""
        starts = self.starts[rows]
        if not isinstance(rows, slice):
            return {part.name: part.of(self.array, starts) for part in self.parts}
        first = int(starts[0]) if len(starts) else 0
        end = int(starts[-1]) + max(part.end for part in self.parts) if len(starts) else 0
        return replace(self, array=self.array[first:end], starts=starts - np.int32(first))
