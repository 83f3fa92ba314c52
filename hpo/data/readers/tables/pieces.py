"""A table of numbers, parsed piece by piece: pandas takes up to 20 bytes for a byte of text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.readers.tables.table import stream_of
from hpo.data.readers.tables.typed.building import TRUTHS, TableBuilder
from hpo.spec.sections.data import TableFile

if TYPE_CHECKING:
    import pandas as pd

_PIECE_BYTES = 4 << 20
# Each column of each piece takes time.
_MOST_COLUMNS = 1_000
# In a column with fractions, pandas reads these whole numbers as floats of another last bit or
# sign. Such a column has to be read at once.
_DEPENDS = re.compile(rb"-0+(?![0-9.eE])|(?<![0-9.])[0-9]{17}")


def table_of_numbers(
    text: bytes | memoryview, options: Mapping[str, Any], rows: int, columns: int
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
    with pd.read_csv(stream_of(text), chunksize=at_once, **options) as reader:
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


def table_in_pieces(
    text: memoryview, options: Mapping[str, Any], rows: int, columns: int, spec: TableFile
) -> pd.DataFrame | None:
    """The table that `pandas.read_csv` gives with these options, its arrays in mapped files.

    Texts are categories. A column that is not of numbers in every piece is read again, as texts.
    None for a table of very many columns, or of other `rows`.
    """
    import pandas as pd

    if columns > _MOST_COLUMNS:
        return None
    builder, kinds = TableBuilder(spec, rows), dict[str, set[str]]()
    start = 0
    at_once = max(1, _PIECE_BYTES * rows // len(text))
    with pd.read_csv(stream_of(text), chunksize=at_once, **options) as reader:
        for piece in reader:
            for name in piece:
                known = kinds.setdefault(name, set())
                known.add(kind_of(piece[name]))
                if known <= {"number", "fraction", "empty"}:
                    builder.put(name, start, _small(piece[name].to_numpy()))
                elif known <= {"truth", "empty"}:
                    truths = piece[name].map({True: 1, False: 0}).fillna(-1)
                    builder.put_truths(name, start, truths.to_numpy(np.int8))
            start += len(piece)
    if start != rows:
        return None
    texts = [
        name
        for name, known in kinds.items()
        if not (known <= {"number", "fraction", "empty"} or known <= {"truth", "empty"})
    ]
    mixed = [name for name, known in kinds.items() if {"number", "fraction"} <= known]
    mixed = [name for name in mixed if name not in texts] if _DEPENDS.search(text) else []
    again = _read_again(text, options, rows, spec, texts, mixed) if texts or mixed else {}
    frame = builder.frame(rows)
    found = {name: again[name] if name in again else frame[name] for name in kinds}
    return pd.DataFrame(found, copy=False)


def kind_of(column: pd.Series[Any]) -> str:
    """What the cells of a column, or of a piece of one, are; categories are of texts."""
    import pandas as pd

    if column.dtype.kind in "iu":
        return "number"
    if column.isna().all():
        return "empty"
    if column.dtype.kind == "f":
        return "fraction"
    if column.dtype == "category":
        return "truth" if {*column.cat.categories} <= {*TRUTHS} else "text"
    return "truth" if pd.api.types.infer_dtype(column, skipna=True) == "boolean" else "text"


def _read_again(
    text: memoryview,
    options: Mapping[str, Any],
    rows: int,
    spec: TableFile,
    texts: Sequence[str],
    fractions: Sequence[str],
) -> dict[str, Any]:
    """Columns of these names, read as texts or as numbers with a fraction."""
    import pandas as pd

    builder, start = TableBuilder(spec, rows), 0
    types = dict.fromkeys(texts, str) | dict.fromkeys(fractions, np.float64)
    at_once = max(1, _PIECE_BYTES * rows // len(text))
    options = {**options, "usecols": [*types], "dtype": types}
    with pd.read_csv(stream_of(text), chunksize=at_once, **options) as reader:
        for piece in reader:
            for name in texts:
                codes, different = piece[name].factorize()
                builder.put_texts(name, start, codes, [*different])
            for name in fractions:
                builder.put(name, start, piece[name].to_numpy())
            start += len(piece)
    frame = builder.frame(rows)
    return {name: frame[name] for name in types}


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
