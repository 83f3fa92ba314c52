"""Where the rows of a table lie: the lines of a text, found without an object for each row."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

_PIECE = 1 << 20
_BREAK, _RETURN = ord("\n"), ord("\r")


class Lines:
    """The line on which each row of a table starts, by the number of the row.

    `firsts` are the rows before which lines without a row lie, the first row included, and
    `lines` theirs.
    """

    def __init__(self, firsts: np.ndarray, lines: np.ndarray, count: int) -> None:
        self._firsts, self._lines, self._count = firsts, lines, count

    @classmethod
    def of(cls, lines: np.ndarray) -> Lines:
        """These lines, one for each row."""
        firsts = _starts_of_stretches(lines)
        return cls(firsts, lines[firsts], len(lines))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: int) -> int:
        stretch = np.searchsorted(self._firsts, row, side="right") - 1
        return int(self._lines[stretch] + row - self._firsts[stretch])

    def without(self, count: int) -> Lines:
        """The lines of the rows after the first `count`."""
        return Lines(self._firsts - count, self._lines, self._count - count)


class FileRows(NamedTuple):
    """The rows that a file gives; without `lines` they are counted from 1."""

    path: Path
    length: int
    lines: Lines | None = None


class Rows:
    """Where each row of a table lies, as messages say it: `t.csv:5`, or `t.parquet: row 5`.

    Of the `kept` rows alone there may be others left out.
    """

    def __init__(self, files: Sequence[FileRows], kept: np.ndarray | None = None) -> None:
        self._files, self._kept = files, kept
        self._ends = np.cumsum([file.length for file in files])

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._kept is None else len(self._kept)

    def __getitem__(self, row: int) -> str:
        row = int(row if self._kept is None else self._kept[row])
        number = int(np.searchsorted(self._ends, row, side="right"))
        file = self._files[number]
        row -= int(self._ends[number]) - file.length
        return (
            f"{file.path}: row {row + 1}"
            if file.lines is None
            else f"{file.path}:{file.lines[row]}"
        )

    def where(self, is_kept: np.ndarray) -> Rows:
        """These rows alone."""
        kept = np.flatnonzero(is_kept)
        return Rows(self._files, kept if self._kept is None else self._kept[kept])


def plain_lines(text: bytes | memoryview, separator: str, cells: int, line: int) -> Lines | None:
    """The lines of the rows of a text that begins on `line`.

    Blank lines are no rows, but in a text with one cell a row they are empty cells.

    None where only `csv` can tell: for quotes and odd line breaks. None also where `csv` refuses a
    row: for another number of cells, or a very long one.
    """
    most, count = csv.field_size_limit(), 0
    firsts, lines = [], []
    for piece in _pieces(text):
        has_returns = b"\r" in piece
        if b'"' in piece or (has_returns and piece.count(b"\r") != piece.count(b"\r\n")):
            return None
        data = np.frombuffer(piece, np.uint8)
        ends = np.flatnonzero(data == _BREAK)
        if piece[-1] != _BREAK:
            ends = np.append(ends, len(data))
        starts = np.append(0, ends[:-1] + 1)
        is_row = (ends > starts) | (cells == 1)
        if has_returns and cells > 1:
            is_row &= (ends > starts + 1) | (data[np.minimum(starts, len(data) - 1)] != _RETURN)
        rows = np.flatnonzero(is_row)
        separators = np.searchsorted(np.flatnonzero(data == ord(separator)), ends)
        found = np.diff(separators, prepend=0)[rows]
        if (ends - starts).max() > most or (found != cells - 1).any():
            return None
        stretches = _starts_of_stretches(rows)
        firsts.append(stretches + count)
        lines.append(rows[stretches] + line)
        count += len(rows)
        line += len(ends)
    return Lines(np.concatenate(firsts), np.concatenate(lines), count)


def _starts_of_stretches(lines: np.ndarray) -> np.ndarray:
    """Where a line does not follow the one before it."""
    return np.flatnonzero(np.diff(lines, prepend=-2) != 1)


def _pieces(text: bytes | memoryview) -> Iterator[bytes]:
    """The text in pieces of whole lines."""
    rest = b""
    for start in range(0, len(text), _PIECE):
        piece = rest + text[start : start + _PIECE]
        end = piece.rfind(b"\n") + 1
        rest = piece[end:]
        if end:
            yield piece[:end]
    if rest:
        yield rest
