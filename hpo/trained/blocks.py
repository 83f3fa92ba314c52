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

# Larger blocks are no quicker on a CPU, as their numbers leave its caches, and delay a single row.
_MOST_ON_CPU, _BYTES_ON_CPU = 64, 16 << 20
_MOST, _BYTES = 512, 512 << 20


def rows_that_fit(bytes_of_row: int, platform: str) -> int:
    """The rows of a block: a power of two, at least 1."""
    most, room = (_MOST_ON_CPU, _BYTES_ON_CPU) if platform == "cpu" else (_MOST, _BYTES)
    fit = max(1, min(most, room // max(1, bytes_of_row)))
    return 1 << (fit.bit_length() - 1)


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
        at_once = self.rows if rows is None else rows
        while True:
            try:
                found = self._outputs(weights, x, at_once)
            except (MemoryError, jax.errors.JaxRuntimeError) as error:
                if not may_fit_in_parts(error):
                    raise
            else:
                return found
            # Out of the handler, whose error still holds arrays.
            if at_once == 1:
                raise DeviceError(
                    f"{self._where}: the memory ran out with a single row of the shape "
                    f"{[*x.shape[1:]]}: stop other programs, or raise the limit of memory."
                )
            at_once //= 2
            self.rows = min(self.rows, at_once)

    def _outputs(self, weights: Any, x: np.ndarray, rows: int) -> np.ndarray:
        parts = []
        for start in range(0, len(x), rows):
            some = x[start : start + rows]
            padding = [(0, rows - len(some))] + [(0, 0)] * (x.ndim - 1)
            parts.append(
                jax.device_get(self._function(weights, np.pad(some, padding)))[: len(some)]
            )
        return np.concatenate(parts)


@contextmanager
def told_where_exhausted(where: Path, what: str) -> Iterator[None]:
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
