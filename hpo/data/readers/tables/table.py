"""A table as text: rows with their lines, names of columns, and empty cells.

Free of NumPy and pandas, so that `hpo check` can look at the head of a table at once.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from hpo.data.readers.encodings import check_utf_16, text_in
from hpo.data.readers.tables.numbers import has_marks, marks_hint, plain_numbers
from hpo.errors import DataError, cut
from hpo.registry import READERS
from hpo.spec.sections.columns import MOST_CATEGORIES, Columns
from hpo.spec.sections.data import CsvFile, TableFile
from hpo.spec.sections.split import SplitSpec, column_of, key_of
from hpo.spec.words import count_text, shown

# What pandas reads as an empty cell.
EMPTY_WORDS = frozenset(
    (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"),
        *("1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    )
)
# If at least this share of a column's cells are numbers, a text among them is a mistake.
NUMERIC_SHARE = 0.9
# A numeric target is read as classes if it has at most this many values, all of them whole numbers.
MOST_NUMERIC_CLASSES = 20
MOST_FLOAT32 = (2 - 2**-23) * 2.0**127
# Rows below the first one that show whether it is like them.
ROWS_TO_COMPARE = 100
# What the words of a column of booleans say.
TRUTH = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1"), 1.0),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0"), 0.0),
}
# A date as ISO 8601 writes it, with a time or without.
ISO_DATE = re.compile(r"\s*\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?\s*", re.ASCII)
_LONGEST_LIST = 80
_STREAM_BYTES = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Row(NamedTuple):
    """The cells of a row, and the line of the file on which it starts."""

    line: int
    cells: list[str]


class Finding(NamedTuple):
    """What is wrong with a table: the field at fault, the line of the table if one is, why.

    The field stands below `data`, as in `split.group`, or is a key of `data.dataset`.
    """

    key: str
    line: int | None
    text: str

    @property
    def path(self) -> tuple[str, ...]:
        """The path below `data` of the field at fault."""
        return tuple(self.key.split(".")) if "." in self.key else ("dataset", self.key)

    def error(self, path: Path) -> DataError:
        """The finding as an error of the reader of a file."""
        where = path if self.line is None else f"{path}:{self.line}"
        field = "" if self.key in READERS else f"data.{'.'.join(self.path)}: "
        return DataError(f"{where}: {field}{self.text}")


def numbered_rows(
    path: Path, text: bytes | memoryview, spec: CsvFile, *, is_whole: bool = True
) -> Iterator[Row]:
    """The rows in the text of a table that begins after the lines to skip.

    Blank lines are no rows. In a table of one column they are rows with an empty cell, but for
    those before the header and after the last row. A last row that ends within quotes is left out
    unless the text is whole.

    Raises:
        DataError: for text that is no CSV, with its line.
    """
    raw: list[str] = []  # the lines of the row that is read

    def lines() -> Iterator[str]:
        for one in io.TextIOWrapper(stream_of(text), "utf-8", newline=""):
            raw.append(one)
            yield one

    reader = csv.reader(lines(), delimiter=spec.separator)
    line, last = spec.skip + 1, None
    is_plain = spec.decimal == "." and not has_marks(spec)
    is_header = spec.header is not False
    width, blank, first = 0, list[int](), raw
    try:
        for cells in reader:
            start, line = line, spec.skip + reader.line_num + 1
            own, raw, width = raw, [], width or len(cells)
            if not cells:
                blank.append(start)
                continue
            if last is not None:
                yield last
            if width == 1 and not (last is None and is_header):
                yield from (Row(place, [""]) for place in blank)
            if not (is_plain or is_header):
                cells = plain_numbers(cells, spec)
            last, first, blank, is_header = Row(start, cells), own, [], False
    except csv.Error as error:
        is_long = "field larger" in str(error)
        problem = "is not CSV" if not is_long else "a cell does not end, as after a stray quote"
        cure = "correct the line" if not is_long else "close the quote, or delete it"
        raise DataError(f"{path}:{line}: {problem} ({error}): {cure}.") from None
    is_open = last is not None and _is_open(first, spec.separator)
    if last is not None and not (is_open and not is_whole):
        if is_open:
            raise DataError(
                f"{path}:{last.line}: a quote is opened here and not closed before the file ends: "
                "close it, or delete it."
            )
        yield last


def first_row(path: Path, rows: Iterator[Row], spec: CsvFile) -> tuple[Row, Iterator[Row]]:
    """The first row of a table, and the rows of examples, to which it belongs without a header.

    Raises:
        DataError: if there is none.
    """
    first = next(rows, None)
    if first is None:
        after = f" after the {spec.skip:,} lines of data.dataset.skip" if spec.skip else ""
        raise DataError(f"{path}: has no row{after}: correct the file, or what is skipped.")
    return first, chain([first], rows) if spec.header is False else rows


def no_rows(path: Path) -> DataError:
    """That a table has a header alone."""
    return DataError(f"{path}: has a header and no rows below it: add one row an example.")


def column_names(first: Sequence[str], *, has_names: bool) -> list[str]:
    """The names of the columns: the first row, and `column_1` and so on where it gives none."""
    return [
        name if has_names and name.strip() else f"column_{n}" for n, name in enumerate(first, 1)
    ]


def _named_columns(spec: TableFile) -> dict[str, str]:
    """The columns that are no features because a spec names them, with the fields that do."""
    targets = dict.fromkeys(spec.targets, "target")
    return targets | ({spec.weight: "weight"} if spec.weight is not None else {})


def target_names(spec: TableFile) -> str:
    """The columns to predict, as a message names them."""
    return listed([shown(name) for name in spec.targets])


def no_features(spec: TableFile, split: SplitSpec | None, columns: Columns) -> set[str]:
    """The columns that are no features: those that a spec names for something else, or drops."""
    dropped = [name for name, one in columns.by_name.items() if one.drop]
    found = {*_named_columns(spec), *spec.drop, *dropped}
    if split is not None and not getattr(split, "feature", False):
        found.add(column_of(split))
    return found


def row_finding(row: Row, names: Sequence[str], spec: CsvFile) -> Finding | None:
    """What is wrong with a row whose number of cells is not that of the columns."""
    if len(row.cells) == len(names):
        return None
    other = "first row" if spec.header is False else "header"
    text = f"has {count_text(len(row.cells), 'cell')} where the {other} has {len(names)}: "
    return Finding("csv", row.line, f"{text}correct the line, or set data.dataset.separator.")


def column_findings(
    names: Sequence[str],
    spec: TableFile,
    line: int | None,
    is_data: bool,
    split: SplitSpec | None,
    columns: Columns,
) -> Iterator[Finding]:
    """What is wrong with the names of the columns, or with those that the spec asks for.

    `line` is that of the header; `is_data` says whether it looks like data.
    """
    hint = " If the first row is data, write header: false in data.dataset." if is_data else ""
    for position, name in enumerate(names, start=1):
        if not name.strip():
            text = f"column {position} has no name: name it in the header (and list it in "
            text += "data.dataset.drop if it only numbers the rows)."
            yield Finding(spec.key, line, text + hint)
            break
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        text = f"{times:,} columns are named {shown(name)}: rename all but one."
        yield Finding(spec.key, line, text + hint)
    named, known = _named_columns(spec), set(names)
    by = [] if split is None else [(column_of(split), f"split.{key_of(split)}")]
    if split is not None and column_of(split) == spec.time:
        by = [(spec.time, "time")]
    typed = [(name, "columns.by_name") for name in columns.by_name]
    for column, key in [*named.items(), *((name, "drop") for name in spec.drop), *by, *typed]:
        if column not in known:
            close = difflib.get_close_matches(column[:_LONGEST_LIST], names, n=1)
            guess = f"Did you mean '{close[0]}'? " if close else ""
            if not close and isinstance(spec, CsvFile):
                guess = _separator_hint(names)
            text = f"unknown column {shown(column)}. {guess}{_known(names, spec)}{hint}"
            yield Finding(key, None, text)
    repeated, times = (Counter(spec.targets).most_common(1) or [("", 0)])[0]
    if times > 1:
        yield Finding("target", None, f"{shown(repeated)} is listed twice: list each target once.")
    if spec.weight in spec.targets:
        yield Finding("weight", None, f"{shown(spec.weight)} is the target: name another column.")
    for column, key in [*by, *typed]:
        if column in named:
            text = f"{shown(column)} is the {named[column]}: name another column."
            yield Finding(key, None, text)
    for column, field in named.items():
        if column in spec.drop:
            yield Finding("drop", None, f"{shown(column)} is the {field}: keep it.")
    # The past of a series is a feature.
    if spec.window is None and known <= no_features(spec, split, columns):
        text = f"no column is left to learn from beside the target {target_names(spec)}: "
        cure = ", or set data.dataset.separator" if isinstance(spec, CsvFile) else ""
        yield Finding(spec.key, None, f"{text}shorten data.dataset.drop{cure}.")


def looks_like_data(first: Sequence[str], below: Iterable[Sequence[str]], spec: CsvFile) -> bool:
    """Whether the first row is more like the rows below it than like their names.

    It is if it has a number in half of the columns that hold numbers alone. Where no column does,
    it is if half of its texts occur again below.
    """
    first = plain_numbers(first, spec)
    rows = [cells for cells in below if len(cells) == len(first)][:ROWS_TO_COMPARE]
    gaps = gap_words(spec)
    columns = [
        {cell for cell in column if not is_gap(cell, gaps)} for column in zip(*rows, strict=True)
    ]
    numeric = [
        cell
        for cell, found in zip(first, columns, strict=False)
        if found and all(map(is_number, found))
    ]
    if numeric:
        return 2 * sum(map(is_number, numeric)) >= len(numeric)
    again = sum(cell in found for cell, found in zip(first, columns, strict=False))
    return bool(columns) and 2 * again >= len(first)


def headless_warning(first: Sequence[str], spec: CsvFile) -> str:
    """That the first row is the header although it looks like data, and the cure."""
    return (
        f"{spec.csv}: the first row ({listed(first)}) looks like data and is read as the header: "
        "write header: false in data.dataset, or header: true if it names the columns."
    )


def gap_words(spec: TableFile) -> frozenset[str]:
    """Every text that is an empty cell."""
    return EMPTY_WORDS.union(missing_words(spec))


def missing_words(spec: TableFile) -> list[str]:
    """The spec's own words for an empty cell; a blank before one is not part of it."""
    words = [word.strip() for word in spec.missing]
    words += [f"{float(word):g}" for word in words if is_number(word)]
    return [f"{blank}{word}" for word in words for blank in ("", " ")]


def is_gap(cell: str, words: frozenset[str]) -> bool:
    """Whether a cell is empty; `-999` stands for `-999.0` too, as in pandas."""
    if cell in words:
        return True
    return len(words) > len(EMPTY_WORDS) and is_number(cell) and f"{float(cell):g}" in words


def is_number(cell: str) -> bool:
    """Whether pandas reads a cell as a number; Python's `1_000` is none."""
    try:
        return not math.isnan(float(cell)) and "_" not in cell
    except ValueError:
        return False


def number_text(number: float) -> str:
    """A number among texts: 3 for 3.0."""
    return str(int(number)) if float(number).is_integer() else str(number)


def is_boolean(cell: str) -> bool:
    """Whether a cell says true or false."""
    return cell.strip().casefold() in TRUTH or (is_number(cell) and float(cell) in (0, 1))


def stray_text(name: str, cell: str) -> str:
    """What to do about a text in a column of numbers."""
    return (
        f"column {shown(name)} holds {shown(cell)} among numbers: correct it, leave the cell "
        f"empty, or list {shown(cell)} in data.dataset.missing or the column in data.dataset.drop."
    )


def huge_number(name: str) -> str:
    """What to do about a number that float32 cannot hold."""
    return (
        f"column {shown(name)} is infinite or too large for float32: write a smaller number, or "
        "leave the cell empty."
    )


def huge_target(name: str) -> str:
    """What to do about a target that float32 cannot hold."""
    return (
        f"the target {shown(name)} is infinite or too large for float32: write a smaller number, "
        "or remove the row."
    )


def many_texts(name: str, count: int, text: str) -> str:
    """What to do about a column of too many texts."""
    return (
        f"column {shown(name)} holds {count} different texts, such as {shown(text)}, more than the "
        f"{MOST_CATEGORIES} that can be categories: list it in data.dataset.drop, or write encode: "
        f"hashing, encode: target or type: text for it in data.columns.by_name.{marks_hint(text)}"
    )


def no_boolean(name: str, cell: str) -> str:
    """What to do about a text in a column of booleans."""
    return (
        f"column {shown(name)} holds {shown(cell)}, which is no boolean: write true or false, yes "
        "or no, 1 or 0, or leave the cell empty."
    )


def no_date(name: str, cell: str) -> str:
    """What to do about a text in a column of dates."""
    return (
        f"column {shown(name)} holds {shown(cell)}, which is no date, or may be two: write one "
        "such as 2024-01-31 or 2024-01-31 18:30, or leave the cell empty."
    )


def dates_note(file: str, name: str) -> str:
    """That a column of very many dates is read as such."""
    return (
        f"{file}: column {shown(name)} holds dates: it is read as their days, years, months and "
        "weekdays."
    )


def sentences_note(file: str, name: str) -> str:
    """That a column of very many sentences is read as such."""
    return (
        f"{file}: column {shown(name)} holds sentences: it is read as text, and data.text says "
        "what its words become."
    )


def few_sentences_note(file: str, name: str, count: int) -> str:
    """That a column of sentences is read as categories, because it has few."""
    return (
        f"{file}: column {shown(name)} holds {count:,} different sentences, each a category: to "
        "learn from their words write type: text for it in data.columns.by_name."
    )


def no_target(count: int, name: str) -> str:
    """What to do about rows without a target."""
    rows = "1 row has" if count == 1 else f"{count:,} rows have"
    return (
        f"{rows} no value in the target column {shown(name)} (this is the first): fill them in, or "
        "write drop_rows: {missing_target: true} in data.dataset."
    )


def in_utf8(path: Path, data: bytes, encoding: str, *, is_whole: bool = True) -> bytes:
    """Text in UTF-8; a last character that is cut off is left out unless the text is whole.

    Raises:
        DataError: for data of another encoding, with its line.
    """
    if codecs.lookup(encoding).name == "utf-8":
        return data
    return text_in(path, data, encoding, is_whole=is_whole).encode()


class _Bytes(io.RawIOBase):
    """A stream of bytes that are not copied."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._read = data, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        some = self._data[self._read : self._read + len(buffer)]
        buffer[: len(some)] = some
        self._read += len(some)
        return len(some)


def stream_of(text: bytes | memoryview) -> io.BytesIO | io.BufferedReader:
    """The bytes of a text as a stream."""
    if isinstance(text, bytes):
        return io.BytesIO(text)
    return io.BufferedReader(_Bytes(text), _STREAM_BYTES)


def table_text(path: Path, data: bytes | memoryview, skip: int) -> bytes | memoryview:
    """The UTF-8 text of a table after its byte order mark and the lines to skip.

    Raises:
        DataError: for data that are empty, or not UTF-8.
    """
    check_utf_16(path, data, "utf-8")
    if _is_blank(path, data):
        raise DataError(f"{path}: is empty: it needs a header and one row an example.")
    start = len(_BYTE_ORDER_MARK)
    start = start if bytes(data[:start]) == _BYTE_ORDER_MARK else 0
    lines = io.TextIOWrapper(stream_of(data[start:]), "latin-1", newline="")
    # A character of latin-1 is a byte, and no byte of UTF-8 but a line break looks like one.
    return data[start + sum(map(len, islice(lines, min(skip, len(data))))) :]


def _is_blank(path: Path, data: bytes | memoryview) -> bool:
    """Whether a text holds blanks alone, apart from a byte order mark.

    Raises:
        DataError: for data that are not UTF-8, with their line.
    """
    decoder, line, is_blank = codecs.getincrementaldecoder("utf-8-sig")(), 1, True
    try:
        for start in range(0, len(data), _STREAM_BYTES):
            piece = bytes(data[start : start + _STREAM_BYTES])
            text = decoder.decode(piece, start + len(piece) == len(data))
            is_blank = is_blank and not text.strip()
            line += text.count("\n")
    except UnicodeDecodeError as error:
        line += error.object[: error.start].count(b"\n")
        raise DataError(
            f"{path}:{line}: is not UTF-8: save the file as UTF-8, or name its encoding in "
            "data.dataset.encoding, such as gbk or latin-1."
        ) from None
    return is_blank


def _is_open(lines: Sequence[str], separator: str) -> bool:
    """Whether the last row ends within a quoted cell."""
    try:
        for _ in csv.reader(lines, delimiter=separator, strict=True):
            pass
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


def _known(names: Sequence[str], spec: TableFile) -> str:
    if isinstance(spec, CsvFile) and spec.header is False:
        return f"Without a header the columns are {names[0]} to {names[-1]}."
    return f"Columns: {listed(names)}."


def listed(names: Sequence[str]) -> str:
    """The names that fit into a message, and how many more there are."""
    fitting, width = 0, 0
    while fitting < len(names) and (width := width + len(names[fitting]) + 2) <= _LONGEST_LIST:
        fitting += 1
    fitting = max(1, fitting)
    shortened = [cut(name, _LONGEST_LIST) for name in names[:fitting]]
    rest = len(names) - fitting
    return ", ".join(shortened) + (f" and {rest:,} more" if rest else "")


def _separator_hint(names: Sequence[str]) -> str:
    if len(names) == 1:
        for separator, written in ((";", ";"), ("\t", r"\t")):
            if separator in names[0]:
                return f'The header is one column: set data.dataset.separator: "{written}". '
    return ""
