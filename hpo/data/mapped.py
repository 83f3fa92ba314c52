"""Large arrays in mapped files, so that the system may drop their pages from memory.

A file is deleted as soon as it is mapped: its space is free when the array is gone, and nothing is
left over after a crash.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

# Smaller arrays are in anonymous memory, where making them costs nothing.
LARGE_BYTES = 32 << 20
_ROW_BYTES_AT_ONCE = 16 << 20

_folder: ContextVar[Path | None] = ContextVar("folder of mapped files", default=None)


@contextmanager
def mapped_in(folder: Path | None) -> Iterator[None]:
    """Let large arrays lie in files of this folder; None stands for the system's temporary one."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def is_large(count: int) -> bool:
    """Whether an array of this many bytes belongs into a file."""
    return count >= LARGE_BYTES


def empty(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array as `numpy.empty` makes it; a large one is mapped from a file that has no name.

    It is in anonymous memory where the disk has no room for it.
    """
    kind, sizes = np.dtype(dtype), (shape,) if isinstance(shape, int) else shape
    size = math.prod(sizes) * kind.itemsize
    if not is_large(size):
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile(dir=_folder.get()) as file:
            # A page that has no room on the disk would end the process by a signal.
            os.posix_fallocate(file.fileno(), 0, size)
            # The plain array of the same memory: some functions of NumPy are fast for it alone.
            return np.memmap(file, kind, "r+", shape=sizes).view(np.ndarray)
    except (OSError, AttributeError):  # no `posix_fallocate` outside Linux and BSD
        return np.empty(shape, dtype)


def of_file(path: Path) -> memoryview:
    """The bytes of a file, which is not empty."""
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def joined(pieces: Iterable[bytes]) -> bytes | memoryview:
    """The bytes of all pieces; many are mapped from a file that has no name."""
    with tempfile.TemporaryFile(dir=_folder.get()) as file:
        for piece in pieces:
            file.write(piece)
        size = file.tell()
        if not is_large(size):
            file.seek(0)
            return file.read()
        file.flush()
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def rows_at_once(array: np.ndarray) -> int:
    """How many rows of an array are handled together, so that a copy of them is small."""
    row = array.itemsize * math.prod(array.shape[1:])
    return max(1, _ROW_BYTES_AT_ONCE // max(1, row))


def taken(array: np.ndarray, rows: np.ndarray | slice) -> np.ndarray:
    """`array[rows]`, mapped from a file if it is large; a slice copies nothing."""
    if isinstance(rows, slice):
        return array[rows]
    if not is_large(len(rows) * array.itemsize * math.prod(array.shape[1:])):
        few: np.ndarray = array[rows]
        return few
    found = empty((len(rows), *array.shape[1:]), array.dtype)
    step = rows_at_once(array)
    for start in range(0, len(rows), step):
        found[start : start + step] = array[rows[start : start + step]]
    return found
