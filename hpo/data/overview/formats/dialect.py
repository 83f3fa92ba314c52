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
from itertools import islice, pairwise
from pathlib import Path

from hpo.data.overview.formats.number_marks import NumberMarks, number_marks
from hpo.data.readers.encodings import text_in, utf_16_of
from hpo.data.readers.tables.numbers import plain_numbers
from hpo.data.readers.tables.table import EMPTY_WORDS, is_number, looks_like_data
from hpo.errors import DataError
from hpo.spec.sections.data import CsvFile

SEPARATORS = ("\t", ";", "|", ",", " ")
_ROWS = 200
_GAPS = EMPTY_WORDS | {"unknown", "missing", "none", "nil"}
_LEAST_SHARE = 0.5  # of the rows of a table have the same number of cells
_MOST_TITLES = 20  # rows above a table, such as its name
# Runs of Han characters, kana, Hangul and their punctuation.
_EAST_ASIAN = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef]+")


@dataclass(frozen=True)
class Dialect:
    """How a file writes a table.

    `names` are those of the header, `first` is the first row. `is_doubtful` says whether a reader
    would ask if it is a header. `skip` counts the lines above the table.
    """

    encoding: str
    separator: str
    marks: NumberMarks
    has_header: bool
    is_doubtful: bool
    names: tuple[str, ...]
    first: tuple[str, ...]
    skip: int


def dialect_of(path: Path, data: bytes, *, is_whole: bool) -> tuple[Dialect, str]:
    """How the first bytes of a file write a table, and their text.

    Raises:
        DataError: for a file that is no table of cells in lines.
    """
    encoding, text = decoded(path, data, is_whole=is_whole)
    if not text.strip():
        raise DataError(f"{path}: is empty: it needs a header and one row an example.")
    separator, rows, share = _separated(text)
    titles = _titles(rows)
    rows = rows[titles:]
    if len(rows) < 2:
        raise DataError(f"{path}: holds a single row: a table has a header and one row an example.")
    if len(rows[0]) < 2:
        raise DataError(
            f"{path}: no separator parts its lines into cells (comma, semicolon, tab, bar "
            "and blank were tried): a table needs a target and at least one other column."
        )
    if share < _LEAST_SHARE:
        raise DataError(
            f"{path}: its lines have no common number of cells, so it is no table: correct them, "
            "or write dataset: {text: FILE} to learn the text itself (docs/tasks.md)."
        )
    marks = number_marks(rows[1:], separator)
    spec = CsvFile(csv=path.name, target="y", separator=separator, **marks.as_written)
    below = [plain_numbers(row, spec) for row in rows[1:]]
    is_doubtful = looks_like_data(rows[0], below, spec)
    has_header = not is_doubtful or _names_numbers([rows[0], *below])
    dialect = Dialect(
        encoding=encoding,
        separator=separator,
        marks=marks,
        has_header=has_header,
        is_doubtful=is_doubtful,
        names=tuple(rows[0]) if has_header else (),
        first=tuple(rows[0]),
        skip=_lines(text, separator, titles),
    )
    return dialect, text


def _titles(rows: Sequence[Sequence[str]]) -> int:
    """How many rows stand above a table, and are shorter than its rows."""
    width = Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
    count = next((place for place, row in enumerate(rows) if len(row) >= width), 0)
    return count if count <= _MOST_TITLES else 0


def _lines(text: str, separator: str, rows: int) -> int:
    """How many lines the first rows take."""
    if not rows:
        return 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    for _ in islice((row for row in reader if row), rows):
        pass
    return reader.line_num


def _names_numbers(rows: Sequence[Sequence[str]]) -> bool:
    """Whether a first row with numbers names columns, as 0, 1, 2 or a text above numbers do."""
    first = rows[0]
    whole = [int(cell) for cell in first if re.fullmatch(r"\d{1,6}", cell)]
    if len(whole) > 2 and len(whole) >= len(first) - 2:
        return all(after - before == 1 for before, after in pairwise(whole))
    below = [row for row in rows[1:] if len(row) == len(first)]
    for place, cell in enumerate(first):
        numbers = [row[place] for row in below if row[place].strip()]
        is_word = re.search(r"[^\W\d_]", cell) and not is_number(cell) and cell not in _GAPS
        if is_word and numbers and all(map(is_number, numbers)):
            return True
    return False


def decoded(path: Path, data: bytes, *, is_whole: bool) -> tuple[str, str]:
    """The encoding of the text of a file, and the text.

    Raises:
        DataError: for a file that is no text.
    """
    if (found := utf_16_of(data)) is not None:
        return found, text_in(path, data, found, is_whole=is_whole)
    if b"\0" in data[:4096]:
        raise DataError(f"{path}: is no text, so no table in a format that hpo init knows.")
    body = data if is_whole else data[: data.rfind(b"\n") + 1] or data
    try:
        return "utf-8", body.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    try:
        text = body.decode("gb18030")
        # A letter of western Europe swallows the one behind it, and stands alone among others.
        others = sum(not character.isascii() for character in text)
        together = sum(len(found) for found in _EAST_ASIAN.findall(text) if len(found) > 1)
        if together > 0.6 * others:
            return "gb18030", text
    except UnicodeDecodeError:
        pass
    try:
        return "cp1252", body.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1", body.decode("latin-1")


def _separated(text: str) -> tuple[str, list[list[str]], float]:
    """The separator that gives most rows the same number of cells, the first rows, and this share.

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
        return ",", [], 0.0
    return best[1], best[2], best[0][0]
