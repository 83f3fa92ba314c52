"""Words and numbers that stand for an empty cell, such as `?` and -999, found in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.readers.tables.numbers import points
from hpo.data.readers.tables.table import NUMERIC_SHARE

if TYPE_CHECKING:
    import pandas as pd

# Words that say nothing in any column, and those that say nothing in a column of numbers.
_NEVER_VALUES = frozenset(("?", "??", "???"))
_NO_NUMBERS = _NEVER_VALUES | frozenset(
    (
        *("-", "--", "---", ".", "..", "*", "#", "x", "unknown", "missing", "none", "nil", "na"),
        *("n.a.", "n.a", "not available", "no data", "not applicable", "undefined", "inf?", "tba"),
    )
)
_NO_MEASUREMENTS = (-999.0, -9999.0, -99999.0, -999.9)
# A column of numbers with more different words than this is one of texts.
_MOST_WORDS = 5
_LEAST_NUMBERS = 0.3


def with_gaps(
    frame: pd.DataFrame, *, has_decimal_comma: bool = False
) -> tuple[pd.DataFrame, list[Any]]:
    """The table with gaps instead of the words that stand for them, and these words.

    With a decimal comma, texts such as 1,5 are numbers.
    """
    import pandas as pd

    is_number = [pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]
    words: dict[Any, None] = {}
    replaced: dict[str, Any] = {}
    for name, yes in zip(frame.columns, is_number, strict=True):
        if yes:
            continue
        cells = frame[name]
        if has_decimal_comma:
            texts = cells.dropna().astype(str).str.strip()
            cells = pd.Series(points(texts.tolist()), texts.index).reindex(cells.index)
        found, are_numbers = _words_in(cells)
        words |= dict.fromkeys(found)
        if found:
            source = cells if are_numbers else frame[name]
            column = source.where(~source.astype(str).str.strip().isin(found))
            replaced[name] = pd.to_numeric(column, errors="coerce") if are_numbers else column
    frame = _with(frame, replaced) if replaced else frame
    frame, numbers = with_number_gaps(frame)
    return frame, [*words, *(number for number in numbers if number not in words)]


def with_number_gaps(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Any]]:
    """The table with gaps instead of the numbers that stand for them, and these numbers."""
    words: dict[Any, None] = {}
    numeric = frame.select_dtypes("number")
    if numeric.size:
        values = numeric.to_numpy(np.float64, na_value=np.nan)
        for number in (np.inf, -np.inf):
            if (values == number).any():
                words[f"{number:g}"] = None
                frame = frame.replace(number, np.nan)
        for number in _NO_MEASUREMENTS:
            holds = np.flatnonzero((values == number).any(axis=0))
            least = [_least_beside(values[:, place], number) for place in holds]
            if len(holds) and all(rest > number / 2 for rest in least):
                words[int(number) if number.is_integer() else number] = None
                columns = frame[numeric.columns[holds]]
                frame = _with(frame, {n: c.where(c != number) for n, c in columns.items()})
    return frame, list(words)


def _with(frame: pd.DataFrame, columns: dict[str, Any]) -> pd.DataFrame:
    """The table with other columns in the place of those of the same names."""
    changed = frame.copy()
    for name, column in columns.items():
        changed[name] = column
    return changed


def _least_beside(column: np.ndarray, number: float) -> float:
    rest = column[(column != number) & ~np.isnan(column)]
    return float(rest.min()) if len(rest) else np.inf


def _words_in(column: pd.Series[Any]) -> tuple[list[str], bool]:
    """The words of a column that stand for gaps, and whether the others are numbers."""
    import pandas as pd

    counts = column.dropna().astype(str).str.strip().value_counts()
    if not len(counts):
        return [], False
    is_number = pd.to_numeric(pd.Series(counts.index), errors="coerce").notna().to_numpy()
    others = counts.index[~is_number]
    share = counts.to_numpy()[is_number].sum() / counts.sum()
    are_gaps = all(word.casefold() in _NO_NUMBERS for word in others[: _MOST_WORDS + 1])
    if 0 < len(others) <= _MOST_WORDS and (
        share >= NUMERIC_SHARE or (are_gaps and share >= _LEAST_NUMBERS)
    ):
        return others.tolist(), True
    return [word for word in others[:1000] if word in _NEVER_VALUES], False
