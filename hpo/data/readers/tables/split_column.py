"""The column that `data.split` names: groups, times, or the split of each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.dataset import SPLITS
from hpo.data.readers.tables.dates import read_dates
from hpo.data.readers.tables.lines import Rows
from hpo.errors import DataError
from hpo.spec.sections.split import ColumnSplit, GroupSplit, SplitSpec, TimeSplit
from hpo.spec.words import shown

if TYPE_CHECKING:
    import pandas as pd

# The place in `SPLITS` of each word that names one, in any case.
SPLIT_WORDS = {
    **{name: place for place, name in enumerate(SPLITS)},
    "training": 0,
    **dict.fromkeys(("valid", "val", "dev"), 1),
    "testing": 2,
}


def read_split_column(split: SplitSpec, column: pd.Series[Any], rows: Rows) -> np.ndarray:
    """What the column says of each row, as `Source.split_by` holds it.

    Raises:
        DataError: for a cell that is empty or says nothing that can be read, with its line.
    """
    what = {GroupSplit: "group", TimeSplit: "time", ColumnSplit: "split"}[type(split)]
    where = f"in column {shown(column.name)}"
    empty = np.flatnonzero(column.isna())
    if len(empty):
        raise DataError(
            f"{rows[empty[0]]}: the {what} {where} is empty: fill it in, or remove the row."
        )
    if isinstance(split, GroupSplit):
        groups: np.ndarray = column.factorize()[0]
        return groups
    found, is_read = _times(column) if isinstance(split, TimeSplit) else _places(column)
    if not is_read.all():
        row = np.flatnonzero(~is_read)[0]
        cure = "train, validation or test" if isinstance(split, ColumnSplit) else "a number or date"
        more = "" if isinstance(split, ColumnSplit) else ", such as 2024-01-31"
        raise DataError(
            f"{rows[row]}: the {what} {where} is {shown(str(column.iloc[row]))}: write "
            f"{cure}{more}."
        )
    return found


def _places(column: pd.Series[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The place in `SPLITS` of each word, and whether it is one of them."""
    places = column.astype(str).str.strip().str.casefold().map(SPLIT_WORDS)
    return places.fillna(-1).to_numpy(np.int8), places.notna().to_numpy()


def _times(column: pd.Series[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The time of each cell, a number or a date, and whether it could be read."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column.dtype):
        numbers: np.ndarray = column.to_numpy(np.float64)
        return numbers, np.isfinite(numbers)
    if column.dtype.kind == "M":
        return column.to_numpy("datetime64[us]"), np.ones(len(column), bool)
    return read_dates(column)
