"""A table of numbers, parsed piece by piece: pandas takes up to 20 bytes for a byte of text."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_PIECE_BYTES = 4 << 20
# Each column of each piece takes time.
_MOST_COLUMNS = 1_000
# In a column with fractions, pandas reads these whole numbers as floats of another last bit or
# sign. Such a column has to be read at once.
_DEPENDS = re.compile(rb"-0+(?![0-9.eE])|(?<![0-9.])[0-9]{17}")


def table_of_numbers(
    text: bytes, options: Mapping[str, Any], rows: int, columns: int
) -> pd.DataFrame | None:
    """The table that `pandas.read_csv` gives with these options; whole numbers may take less space.

    None for a table with other columns than numbers, with very many, or with other `rows`.
    """
    import pandas as pd

    if columns > _MOST_COLUMNS:
        return None
    at_once = max(1, _PIECE_BYTES * rows // len(text))
    values: dict[Any, np.ndarray] = {}
    start, pieces = 0, 0
    with pd.read_csv(io.BytesIO(text), chunksize=at_once, **options) as reader:
        for piece in reader:
            stop = start + len(piece)
            if stop > rows or any(kind.kind not in "if" for kind in piece.dtypes):
                return None
            for name in piece:
                _put(values, name, _small(piece[name].to_numpy()), start, rows)
            start, pieces = stop, pieces + 1
    if start != rows:
        return None
    has_fractions = any(column.dtype.kind == "f" for column in values.values())
    if has_fractions and pieces > 1 and _DEPENDS.search(text):
        return None
    return pd.DataFrame(values, copy=False)


def _put(values: dict[Any, np.ndarray], name: Any, new: np.ndarray, start: int, rows: int) -> None:
    """Put a piece of a column in its place; the column's type is one that holds all pieces."""
    old = values.get(name)
    if old is None:
        old = values[name] = np.empty(rows, new.dtype)
    kind = np.float64 if "f" in old.dtype.kind + new.dtype.kind else max(old.dtype, new.dtype)
    if kind != old.dtype:
        kept, old = old[:start], np.empty(rows, kind)
        old[:start] = kept
        values[name] = old
    old[start : start + len(new)] = new


def _small(numbers: np.ndarray) -> np.ndarray:
    """Whole numbers in as few bytes as hold them; others as they are."""
    if numbers.dtype.kind != "i" or not len(numbers):
        return numbers
    # A signed type holds -1 - n where it holds n.
    ends = (min(numbers.min(), -1), -1 - max(numbers.max(), 0))
    return numbers.astype(np.promote_types(*map(np.min_scalar_type, ends)))
