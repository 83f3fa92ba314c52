"""A look at a CSV file: how it is written, and a sample of its rows."""

from __future__ import annotations

import csv
import io
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.files import opened
from hpo.data.overview.formats.dialect import Dialect, dialect_of
from hpo.data.overview.formats.sample import Sample
from hpo.data.overview.gaps import with_gaps
from hpo.data.readers.tables.numbers import has_marks, plain_rows
from hpo.data.readers.tables.table import column_names, numbered_rows, table_text
from hpo.errors import DataError
from hpo.spec.sections.data import CsvFile

if TYPE_CHECKING:
    import pandas as pd

# A file of up to this many bytes is read whole. Of a larger one, its head and some pieces are.
MOST_BYTES = 32 << 20
_HEAD, _PIECES, _PIECE = 8 << 20, 12, 1 << 20
# How many line breaks of a piece may begin a row, and the most characters of its first two rows.
_STARTS, _CELLS = 100, 1 << 16
_NOT_TABLES = (
    *(".npz", ".npy", ".parquet", ".pq", ".json", ".jsonl", ".ndjson", ".arrow", ".feather"),
    *(".yaml", ".yml", ".py", ".zip", ".md", ".html", ".xlsx"),
)


def look_at_csv(path: Path, written: str) -> Sample | None:
    """A sample of a table; `written` is the path as a spec has it. None for other files.

    Raises:
        DataError: for a file that cannot be read or is no table.
    """
    if not path.is_file() or path.name.lower().removesuffix(".gz").endswith(_NOT_TABLES):
        return None
    data, pieces, share = _bytes(path)
    is_whole = share == 1.0
    dialect, text = dialect_of(path, data, is_whole=is_whole)
    names, has_names = _names(dialect)
    texts = [text if is_whole else _whole_rows(text), *_texts(pieces, dialect)]
    dataset, reasons = _dataset(written, dialect, has_names=has_names)
    frame = _frame(path, texts, dialect, names)
    frame, missing = with_gaps(frame, has_decimal_comma=dialect.marks.decimal == ",")
    if missing:
        dataset["missing"] = list(missing)
        reasons["missing"] = "read as empty cells"
    rows = len(frame) if is_whole else round(len(frame) / share)
    return Sample(frame, rows, is_whole, dataset, reasons)


def _bytes(path: Path) -> tuple[bytes, list[bytes], float]:
    """The head of a file, pieces of the rest, and the share of the file that these are."""
    size = path.stat().st_size
    with opened(path) as stream:
        if path.suffix == ".gz" or size <= MOST_BYTES:
            head = stream.read(MOST_BYTES + 1)
            if len(head) <= MOST_BYTES:
                return head, [], 1.0
            # How far a packed file unpacks is unknown; text shrinks to about a fourth.
            return head, [], min(1.0, MOST_BYTES / (4 * size))
        head = stream.read(_HEAD)
        pieces = []
        for place in np.linspace(_HEAD, size - _PIECE, _PIECES).astype(int).tolist():
            stream.seek(place)
            pieces.append(stream.read(_PIECE))
    return head, pieces, (_HEAD + _PIECES * _PIECE) / size


def _texts(pieces: Sequence[bytes], dialect: Dialect) -> Iterator[str]:
    """The whole rows of each piece, which may begin and end within a quoted cell."""
    for piece in pieces if not dialect.encoding.startswith("utf-16") else ():
        text = piece[: piece.rfind(b"\n") + 1].decode(dialect.encoding, "replace")
        start, width = 0, len(dialect.first)
        for _ in range(_STARTS):
            start = text.find("\n", start) + 1
            rows = csv.reader(
                io.StringIO(text[start : start + _CELLS]), delimiter=dialect.separator
            )
            if [len(row) for row in islice(rows, 2)] == [width, width]:
                yield _whole_rows(text[start:])
                break


def _names(dialect: Dialect) -> tuple[list[str], bool]:
    """The names of the columns, and whether they are those of the header."""
    given = column_names(dialect.names, has_names=True)
    if given and len(set(given)) == len(given):
        return given, True
    return column_names(dialect.first, has_names=False), False


def _dataset(
    written: str, dialect: Dialect, *, has_names: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    """What a spec says of the file, and why."""
    dataset: dict[str, Any] = {"csv": written}
    reasons: dict[str, str] = {}
    is_tab_by_name = written.lower().removesuffix(".gz").endswith((".tsv", ".tab"))
    if dialect.separator != ("\t" if is_tab_by_name else ","):
        dataset["separator"] = dialect.separator
    if dialect.encoding != "utf-8":
        dataset["encoding"] = dialect.encoding
    marks = dialect.marks
    dataset |= marks.as_written
    reasons["decimal"] = "numbers such as 1,5"
    reasons["thousands"] = f"numbers such as 1{marks.thousands}500"
    reasons["units"] = "left out of numbers"
    if dialect.skip:
        dataset["skip"] = dialect.skip
        reasons["skip"] = "lines above the table"
    if has_names and dialect.is_doubtful:
        dataset["header"] = True
        reasons["header"] = "numbers that name columns; false if they are data"
    if has_names:
        return dataset, reasons
    dataset["header"] = False
    reasons["header"] = "the first row looks like data; true if it names the columns"
    if dialect.has_header:
        found = column_names(dialect.names, has_names=True)
        repeated, times = Counter(found).most_common(1)[0]
        dataset["skip"] = dialect.skip + 1 + sum(name.count("\n") for name in dialect.names)
        reasons["skip"] = f"the header, in which {times} columns have the name '{repeated}'"
        del reasons["header"]
    return dataset, reasons


def _frame(path: Path, texts: Sequence[str], dialect: Dialect, names: list[str]) -> pd.DataFrame:
    """The rows in the texts, of which the first one begins with the header.

    Raises:
        DataError: for a first text that is no CSV.
    """
    import pandas as pd  # takes half a second to import

    spec = CsvFile(
        csv=path.name,
        target="y",
        separator=dialect.separator,
        skip=dialect.skip,
        **dialect.marks.as_written,
    )
    options: dict[str, Any] = {
        "sep": dialect.separator,
        "decimal": "." if has_marks(spec) else spec.decimal,
        "names": names,
        "index_col": False,
        "low_memory": False,
        "on_bad_lines": "skip",
    }
    frames = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rows of another length, which the reader refuses
        for place, text in enumerate(texts):
            header = 0 if place == 0 and dialect.has_header else None
            skip = dialect.skip if place == 0 else 0
            try:
                if has_marks(spec):
                    text, skip = _plain(text, skip, spec, has_header=header == 0), 0
                frames.append(
                    pd.read_csv(io.StringIO(text), header=header, skiprows=skip, **options)
                )
            except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
                if place == 0:
                    _check(path, text, spec)
                    message = f"{path}: is not CSV ({error}): correct the file."
                    raise DataError(message) from None
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def _check(path: Path, text: str, spec: CsvFile) -> None:
    """Say which line of the whole text of a file is no CSV.

    Raises:
        DataError: where one is none.
    """
    for _ in numbered_rows(path, table_text(path, text.encode(), spec.skip), spec):
        pass


def _whole_rows(text: str) -> str:
    """The text up to the last line break that lies in no quoted cell."""
    is_quoted, end = text.count('"') % 2 == 1, len(text)
    while is_quoted and end > 0:
        start = text.rfind("\n", 0, end - 1) + 1
        is_quoted ^= text.count('"', start, end) % 2 == 1
        end = start
    return text[:end]


def _plain(text: str, skip: int, spec: CsvFile, *, has_header: bool) -> str:
    """The text after the lines to skip, with numbers that pandas reads."""
    lines = io.StringIO(text, newline="")
    for _ in range(skip):
        lines.readline()
    return b"".join(plain_rows(lines, spec, has_header=has_header)).decode()
