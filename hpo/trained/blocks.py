"""Blocks of rows that go through a model at once, whose size is the model's own.

XLA adds in another order where a batch has another number of rows, so that last bits differ. Rows
that are answered in blocks of one size get the same bits, however many others stand beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hpo.engine.programs.memory import may_fit_in_parts
from hpo.errors import DeviceError

_MOST, _BYTES = 512, 512 << 20
# On a CPU, larger blocks are quicker only where the numbers of a step stay in its caches. Others
# would delay a single row.
_MOST_ON_CPU, _BYTES_ON_CPU, _BYTES_OF_CACHE = 64, 16 << 20, 1 << 19


# What a model does with rows whose answers are judged.
JUDGING = "rows were judged, 512 at once as in training"


def rows_that_fit(bytes_of_row: int, platform: str) -> int:
    """The rows of a block: a power of two, at least 1."""
    size = max(1, bytes_of_row)
    fit = _BYTES // size
    if platform == "cpu":
        fit = max(min(_MOST_ON_CPU, _BYTES_ON_CPU // size), _BYTES_OF_CACHE // size)
    return 1 << (max(1, min(_MOST, fit)).bit_length() - 1)


class Blocks:
    """Answers with a compiled function in blocks of `rows`, fewer from where memory has run out."""

    def __init__(self, function: Callable[[Any, Any], Any], rows: int, where: Path) -> None:
        self.rows = rows
        self._function, self._where = function, where

    def outputs(self, weights: Any, x: np.ndarray, rows: int | None = None) -> np.ndarray:
        """The outputs for features `[N, ...]`, float32 `[N, ..., K]`.

        `rows` asks for blocks of another size, such as that of an evaluation.

        Raises:
            DeviceError: where the memory is too small for a single row.
        """
        at_once, start = self.rows if rows is None else rows, 0
        parts: list[np.ndarray] = []
        while start < len(x):
            found = self._block(weights, x[start : start + at_once], at_once)
            if found is not None:
                parts.append(found)
                start += at_once
            elif at_once == 1:
                raise DeviceError(
                    f"{self._where}: the memory ran out with a single row of the shape "
                    f"{[*x.shape[1:]]}: stop other programs, or raise the limit of memory."
                )
            else:
                at_once //= 2
                self.rows = min(self.rows, at_once)
        # Where there is no memory for all outputs together, smaller blocks do not help.
        return np.concatenate(parts)

    def _block(self, weights: Any, some: np.ndarray, rows: int) -> np.ndarray | None:
        """The outputs for a block that is padded to `rows`; None where the memory runs out."""
        padding = [(0, rows - len(some))] + [(0, 0)] * (some.ndim - 1)
        try:
            found: np.ndarray = jax.device_get(self._function(weights, np.pad(some, padding)))
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if not may_fit_in_parts(error):
                raise
            return None
        return found[: len(some)]


@contextmanager
def told_where_exhausted(where: Path | str, what: str) -> Iterator[None]:
    """Refuse, in a sentence, what needs more memory than there is.

    Raises:
        DeviceError: where the memory runs out.
    """
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not may_fit_in_parts(error):
            raise
        raise DeviceError(
            f"{where}: the memory ran out while {what}: stop other programs, or raise the limit of "
            "memory."
        ) from None
