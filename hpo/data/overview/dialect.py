"""How a text file writes a table: encoding, separator, decimal point, and whether it has a header.

What a spec has to say so that the reader of CSV files understands the file.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from hpo.data.readers.tables.table import looks_like_data, points
from hpo.errors import DataError
from hpo.spec.sections.data import CsvFile

SEPARATORS = ("\t", ";", "|", ",", " ")
_ROWS = 200
# Han characters, kana and Hangul, of which a text in gb18030, and nothing decoded by mistake, is.
_EAST_ASIAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@dataclass(frozen=True)
class Dialect:
    """How a file writes a table; `names` are those of a header that a reader can use."""

    encoding: str
    separator: str
    has_decimal_comma: bool
    has_header: bool
    names: tuple[str, ...]
    first: tuple[str, ...]


def dialect_of(path: Path, data: bytes, *, is_whole: bool) -> tuple[Dialect, str]:
    """How the first bytes of a file write a table, and their text.

    Raises:
        DataError: for a file that is no table of cells in lines.
    """
    encoding, text = decoded(path, data, is_whole=is_whole)
    if not text.strip():
        raise DataError(f"{path}: is empty: it needs a header and one row an example.")
    separator, rows = _separated(text)
    if len(rows) < 2:
        raise DataError(f"{path}: holds a single row: a table has a header and one row an example.")
    if len(rows[0]) < 2:
        raise DataError(
            f"{path}: no separator parts its lines into cells (comma, semicolon, tab, bar "
            "and blank were tried): a table needs a target and at least one other column."
        )
    has_header = not looks_like_data(rows[0], rows[1:], CsvFile(csv=str(path), target="y"))
    names = tuple(rows[0]) if has_header else ()
    has_comma = separator != "," and _has_decimal_comma(rows[1:])
    return Dialect(encoding, separator, has_comma, has_header, names, tuple(rows[0])), text


def decoded(path: Path, data: bytes, *, is_whole: bool) -> tuple[str, str]:
    """The encoding of the text of a file, and the text.

    Raises:
        DataError: for a file that is no text.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16", data.decode("utf-16", "strict" if is_whole else "ignore")
    if b"\0" in data[:4096]:
        raise DataError(f"{path}: is no text, so no table in a format that hpo init knows.")
    body = data if is_whole else data[: data.rfind(b"\n") + 1] or data
    try:
        return "utf-8", body.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    try:
        text = body.decode("gb18030")
        others = [character for character in text if not character.isascii()]
        if sum(map(bool, map(_EAST_ASIAN.match, others))) > 0.6 * len(others):
            return "gb18030", text
    except UnicodeDecodeError:
        pass
    try:
        return "cp1252", body.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1", body.decode("latin-1")


def _separated(text: str) -> tuple[str, list[list[str]]]:
    """The separator that gives most rows the same number of cells, and the first rows.

    Commas and blanks stand in cells, too, so another separator that fits as well comes first.
    """
    best: tuple[tuple[float, int], str, list[list[str]]] | None = None
    for place, separator in enumerate(SEPARATORS):
        try:
            lines = io.StringIO(text, newline="")
            rows = [row for row in islice(csv.reader(lines, delimiter=separator), _ROWS) if row]
        except csv.Error:
            continue
        width, count = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
        score = (round(count / len(rows), 1) if width > 1 else 0.0, -place)
        if rows and (best is None or score > best[0]):
            best = (score, separator, rows)
    if best is None:
        return ",", []
    return best[1], best[2]


def _has_decimal_comma(rows: Sequence[Sequence[str]]) -> bool:
    """Whether a column holds numbers such as 1,5."""
    width = Counter(map(len, rows)).most_common(1)[0][0]
    for column in zip(*(row for row in rows if len(row) == width), strict=True):
        cells = [cell for cell in column if cell.strip()]
        if cells and sum(
            cell != point for cell, point in zip(cells, points(cells), strict=True)
        ) >= 0.5 * len(cells):
            return True
    return False
