"""Reads the rows of a CSV file for `predict.py` of an exported folder.

Blank lines are no rows. In a table of one column they are rows with an empty cell, but for those
before the header and after the last row. It needs no library, and reads as `hpo predict` does where
a file has a header, is UTF-8, and has a point in its numbers.
"""

from __future__ import annotations

import csv
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import chain

Rows = Iterator[tuple[int, list[str]]]  # cells, with the line on which each row starts


class TableError(ValueError):
    """A table that cannot be read as rows under a header."""


def read_table(lines: Iterable[str], separator: str) -> tuple[list[str], Rows]:
    """The names of the columns of a table, and its rows.

    Raises:
        TableError: for a table without rows, or with a name twice. While the rows are read: for one
            of another width, or a quote that is not closed.
    """
    rows = _rows(lines, separator)
    line, header = next(rows, (0, []))
    if not line:
        raise TableError("is empty: it needs a header and one row an example")
    names = [name if name.strip() else f"column_{place}" for place, name in enumerate(header, 1)]
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise TableError(f"line {line}: {times:,} columns are named {name!r}: rename all but one")
    first = next(rows, None)
    if first is None:
        raise TableError("has a header and no rows below it: add one row an example")
    return names, _of_width(len(names), chain([first], rows))


def _of_width(width: int, rows: Rows) -> Rows:
    for line, cells in rows:
        if len(cells) != width:
            count = f"{len(cells):,} cell" + "s" * (len(cells) > 1)
            raise TableError(f"line {line}: has {count} where the header has {width}: correct it")
        yield line, cells


def _rows(lines: Iterable[str], separator: str) -> Rows:
    """The rows of a table, the header first; an open quote at its end is told."""
    raw: list[str] = []  # the lines of the row that is read

    def read() -> Iterator[str]:
        for one in lines:
            raw.append(one)
            yield one

    reader = csv.reader(read(), delimiter=separator)
    last: tuple[int, list[str]] | None = None
    line, width, blank, ending = 1, 0, list[int](), list[str]()
    for cells in reader:
        start, line = line, reader.line_num + 1
        if not cells:
            blank.append(start)
            raw.clear()
            continue
        if last is not None:
            yield last
        if width == 1:
            yield from ((place, [""]) for place in blank)
        width, last, ending = width or len(cells), (start, cells), [*raw]
        blank.clear()
        raw.clear()
    if last is not None:
        try:
            deque(csv.reader(ending, delimiter=separator, strict=True), 0)
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise TableError(
                    f"line {last[0]}: a quote is opened here and not closed: close it"
                ) from None
        yield last
