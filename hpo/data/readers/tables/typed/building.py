"""A table that is built piece by piece, from files that say of what type a cell is.

Each column is one array from the start: pandas would hold every piece, and then all of them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data import mapped
from hpo.data.readers.tables.table import is_number, missing_words, number_text
from hpo.spec.sections.data import TableFile

if TYPE_CHECKING:
    import pandas as pd

TRUTHS = ("False", "True")


class TableBuilder:
    """Columns of numbers, truths, dates and texts, each filled from row 0 on.

    Cells that the spec calls missing are empty, and so are texts without a character, and rows for
    which a column gets no cell. A column of cells of several types becomes one of texts.
    """

    def __init__(self, spec: TableFile, rows: int) -> None:
        self._rows = rows  # how many there will be, as far as is known
        self._arrays: dict[str, np.ndarray] = {}
        self._filled: dict[str, int] = {}  # the rows of each column that have their cell
        self._truths: set[str] = set()  # columns of int8: 0 and 1, and -1 in an empty cell
        self._texts: dict[str, dict[str, int]] = {}  # the code of each text of a column of codes
        self._mixed: set[str] = set()
        self._empty_texts = {"", *missing_words(spec)}
        self._empty_numbers = [float(word) for word in spec.missing if is_number(word)]

    @property
    def names(self) -> list[str]:
        """The names of the columns, in the order of their first cells."""
        return [*self._arrays]

    @property
    def typed(self) -> frozenset[str]:
        """The names of the columns whose cells are all of one type."""
        return frozenset(self._arrays.keys() - self._mixed)

    def put(self, name: str, start: int, cells: np.ndarray) -> None:
        """Put numbers or dates into the rows of a column from `start` on."""
        if self._empty_numbers and cells.dtype.kind in "iuf":
            is_empty = np.isin(cells, self._empty_numbers)
            cells = np.where(is_empty, np.nan, cells) if is_empty.any() else cells
        self._fill_up(name, start)
        if name in self._texts or name in self._truths or self._is_other(name, cells):
            self._mix(name, start)
            self._put_codes(name, start, *_coded(cells))
        else:
            self._put(name, start, cells)

    def put_truths(self, name: str, start: int, cells: np.ndarray) -> None:
        """Put 0 for false, 1 for true and -1 for an empty cell, int8."""
        self._fill_up(name, start)
        if name in self._truths or self._is_new(name):
            self._truths.add(name)
            self._put(name, start, cells)
        else:
            self._mix(name, start)
            self._put_codes(name, start, cells, TRUTHS)

    def put_texts(
        self,
        name: str,
        start: int,
        codes: np.ndarray,
        texts: Sequence[str],
        *,
        is_mixed: bool = False,
    ) -> None:
        """Put texts by their codes, which are places in `texts`, or -1 for an empty cell.

        `is_mixed` says that some of them were numbers or truths.
        """
        self._fill_up(name, start)
        if is_mixed:
            self._mixed.add(name)
        if name not in self._texts:
            if not self._is_new(name):
                self._mix(name, start)
            self._texts.setdefault(name, {})
        self._put_codes(name, start, codes, texts)

    def frame(self, rows: int) -> pd.DataFrame:
        """The table of the columns, which has this many rows."""
        import pandas as pd  # takes half a second to import

        found: dict[str, Any] = {}
        for name in self.names:
            self._fill_up(name, rows)
            array = self._arrays.pop(name)[:rows]
            if name in self._texts:
                found[name] = _categorical(array, [*self._texts[name]])
            elif name in self._truths:
                has_gaps = (array < 0).any()
                found[name] = _categorical(array, TRUTHS) if has_gaps else array.view(bool)
            else:
                found[name] = array
        return pd.DataFrame(found, copy=False)

    def _is_new(self, name: str) -> bool:
        return not self._filled.get(name)

    def _is_other(self, name: str, cells: np.ndarray) -> bool:
        """Whether one of old and new cells are dates, and the others are none."""
        old = self._arrays.get(name)
        return old is not None and (old.dtype.kind == "M") != (cells.dtype.kind == "M")

    def _fill_up(self, name: str, stop: int) -> None:
        """Leave the cells of a column empty up to the row `stop`."""
        count = stop - self._filled.get(name, 0)
        if count <= 0:
            return
        empty: Any = -1 if name in self._texts or name in self._truths else np.nan
        if name in self._arrays and self._arrays[name].dtype.kind == "M":
            empty = np.datetime64("NaT", "us")
        self._put(name, stop - count, np.full(count, empty))

    def _put(self, name: str, start: int, cells: np.ndarray) -> None:
        """Put cells in their place; the type of the column becomes one that holds all cells."""
        old, stop = self._arrays.get(name), start + len(cells)
        kind = cells.dtype
        if old is not None and old.dtype != kind:
            is_float = {old.dtype.kind, kind.kind} & {"f", "u"}  # no whole type holds int and uint
            kind = np.dtype(np.float64) if is_float else np.result_type(old.dtype, kind)
        if name in self._texts or name in self._truths:
            kind = np.dtype(np.int32 if name in self._texts else np.int8)
        if old is None or old.dtype != kind or stop > len(old):
            rows = max(self._rows, stop if old is None or stop <= len(old) else 2 * stop)
            new = mapped.empty(rows, kind)
            if old is not None:
                new[:start] = old[:start]
            old = self._arrays[name] = new
        old[start:stop] = cells
        self._filled[name] = stop

    def _put_codes(self, name: str, start: int, codes: np.ndarray, texts: Sequence[str]) -> None:
        known = self._texts[name]
        by_code = [
            -1 if text in self._empty_texts else known.setdefault(text, len(known))
            for text in texts
        ]
        self._put(name, start, np.array([*by_code, -1], np.int32)[codes])

    def _mix(self, name: str, stop: int) -> None:
        """Make a column one of texts; `stop` is its first row without a cell."""
        if name not in self._texts:
            cells = self._arrays.pop(name)[:stop]
            codes, texts = (cells, TRUTHS) if name in self._truths else _coded(cells)
            self._truths.discard(name)
            self._texts[name] = {}
            if not len(texts):  # the cells are all empty
                self._put_codes(name, 0, codes, texts)
                return
            self._mixed.add(name)
            self._put_codes(name, 0, codes, texts)
        elif self._texts[name]:
            self._mixed.add(name)


def _coded(cells: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Numbers or dates as codes, -1 for empty ones, and the text of each code."""
    is_empty = np.isnat(cells) if cells.dtype.kind == "M" else np.isnan(cells)
    different, inverse = np.unique(cells[~is_empty], return_inverse=True)
    codes = np.full(len(cells), -1)
    codes[~is_empty] = inverse
    if cells.dtype.kind == "M":
        return codes, [str(date) for date in different]
    return codes, [*map(number_text, different.tolist())]


def _categorical(codes: np.ndarray, texts: Sequence[str]) -> Any:
    """Texts by their codes, sorted; those that no cell has are none of them."""
    import pandas as pd

    is_used = np.zeros(len(texts), bool)
    step = mapped.rows_at_once(codes)
    for start in range(0, len(codes), step):
        piece = codes[start : start + step]
        is_used[piece[piece >= 0]] = True
    order = sorted(np.flatnonzero(is_used).tolist(), key=texts.__getitem__)
    place = np.full(len(texts) + 1, -1, np.int32)  # the last one is that of -1
    place[order] = np.arange(len(order))
    found = codes if codes.dtype == np.int32 else mapped.empty(len(codes), np.int32)
    for start in range(0, len(codes), step):
        found[start : start + step] = place[codes[start : start + step]]
    kind = pd.CategoricalDtype([texts[code] for code in order], ordered=False)
    return pd.Categorical.from_codes(found, dtype=kind, validate=False)
