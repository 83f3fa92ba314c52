"""CSV tables: the text of a file as columns.

A cell is empty where pandas reads it as missing: no text, NA, NaN, null and similar words.
"""

from __future__ import annotations

import codecs
import io
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.files import is_packed, read_bytes, unpacked
from hpo.data.mapped import is_large, joined, of_file
from hpo.data.readers.tables.examples import (
    Table,
    check_columns,
    examples_of,
    same_texts,
    split_paths,
)
from hpo.data.readers.tables.lines import FileRows, Lines, Rows, plain_lines
from hpo.data.readers.tables.numbers import has_marks, plain_rows
from hpo.data.readers.tables.pieces import kind_of, table_in_pieces, table_of_numbers
from hpo.data.readers.tables.table import (
    ROWS_TO_COMPARE,
    Row,
    column_findings,
    column_names,
    first_row,
    headless_warning,
    in_utf8,
    looks_like_data,
    missing_words,
    no_rows,
    numbered_rows,
    row_finding,
    stream_of,
    table_text,
)
from hpo.data.source import Source
from hpo.errors import DataError
from hpo.spec.sections.columns import Columns
from hpo.spec.sections.data import CsvFile, DataSpec
from hpo.spec.sections.split import SplitSpec
from hpo.spec.words import shown

if TYPE_CHECKING:
    import pandas as pd

_PIECE_BYTES = 1 << 20
_BREAKS = b"\r\n"
# What the cells of a kind are in a message; empty ones go with any others.
_HELD = {"number": "numbers", "fraction": "numbers", "truth": "booleans", "text": "texts"}


def read_csv(path: Path, section: DataSpec) -> Source:
    """The examples of `data.dataset: {csv: ...}`; `data.split` may name a column.

    Raises:
        DataError: if the file is broken or unfit; the message gives the line if one is at fault.
    """
    assert isinstance(section.dataset, CsvFile)
    with same_texts():
        files = split_paths(path, section)
        if files[1:] == [None, None]:
            return examples_of(csv_table(path, section), section)
        return examples_of(_joined(files, section), section)


def csv_table(path: Path, section: DataSpec, texts: Collection[str] = ()) -> Table:
    """The columns of a file; the cells of those in `texts` are texts, whatever they hold.

    Raises:
        DataError: if the file is broken.
    """
    frame, lines, notes = _read(path, section, texts)
    return Table(path, frame, Rows([FileRows(path, len(lines), lines)]), tuple(notes))


def _read(
    path: Path, section: DataSpec, texts: Collection[str] = ()
) -> tuple[pd.DataFrame, Lines, list[str]]:
    """The columns of a file, the line of each row, and what the user should know."""
    spec: CsvFile = section.dataset
    text = table_text(path, _text(path, spec.encoding), spec.skip)
    names, lines, notes = _check_rows(path, text, spec, section.split, section.columns)
    is_single = len(names) == 1
    if is_single:
        text = _without_blank_ends(text, spec)[0]
    if has_marks(spec):
        rows, has_header = io.TextIOWrapper(stream_of(text), "utf-8", newline=""), spec.header
        text = joined(
            plain_rows(rows, spec, has_header=has_header is not False, keeps_blank=is_single)
        )
    kinds = {name: str for name in texts if name in names}
    return _parsed(path, text, names, spec, len(lines), kinds), lines, notes


def _text(path: Path, encoding: str) -> bytes | memoryview:
    """The text of a file in UTF-8; a long one is mapped, not read.

    Raises:
        DataError: for text of another encoding.
    """
    is_utf8 = codecs.lookup(encoding).name == "utf-8"
    is_long = path.is_file() and is_large(path.stat().st_size)
    if is_utf8 and is_long and not is_packed(path):
        return of_file(path)
    if is_utf8 and is_packed(path):
        with unpacked(path) as stream:
            return joined(iter(lambda: stream.read(_PIECE_BYTES), b""))
    data = in_utf8(path, read_bytes(path), encoding)
    return joined([data]) if is_long else data


def _joined(files: Sequence[Path | None], section: DataSpec) -> Table:
    """The rows of the files of all splits, one after the other.

    Raises:
        DataError: if their columns differ, or hold cells of other kinds in another file.
    """
    import pandas as pd

    read = [(place, path, *_read(path, section)) for place, path in enumerate(files) if path]
    (_, first, frame, _, _), *others = read
    for _, path, other, _, _ in others:
        check_columns(first, [*frame], path, [*other])
        for name in frame:
            held = [_HELD.get(kind_of(one[name])) for one in (frame, other)]
            if held[0] != held[1] and None not in held:
                raise DataError(
                    f"{path}: column {shown(name)} holds {held[1]}, and {held[0]} in {first}: "
                    "correct it, or list it in data.dataset.drop."
                )
    return Table(
        first,
        pd.concat([one for _, _, one, _, _ in read], ignore_index=True),
        Rows([FileRows(path, len(lines), lines) for _, path, _, lines, _ in read]),
        tuple(dict.fromkeys(note for *_, notes in read for note in notes)),
        places=np.repeat([place for place, *_ in read], [len(one) for _, _, one, *_ in read]),
    )


def _check_rows(
    path: Path, text: bytes | memoryview, spec: CsvFile, split: SplitSpec | None, columns: Columns
) -> tuple[list[str], Lines, list[str]]:
    """The columns' names, the line on which each row starts, and what the user should know.

    pandas would fill short rows without a word.
    """
    first, rows = first_row(path, numbered_rows(path, text, spec), spec)
    names = column_names(first.cells, has_names=spec.header is not False)
    line = spec.skip + 1
    if len(names) == 1:
        text, skipped = _without_blank_ends(text, spec)
        line += skipped
    found = plain_lines(text, spec.separator, len(names), line)
    if found is not None:
        below = [row.cells for row in islice(rows, ROWS_TO_COMPARE)]
        lines = found if spec.header is False else found.without(1)
    else:
        lines, below = _compared_rows(path, rows, names, spec)
    if not len(lines):
        raise no_rows(path)
    is_doubtful = spec.header is None and looks_like_data(first.cells, below, spec)
    for finding in column_findings(names, spec, first.line, is_doubtful, split, columns):
        raise finding.error(path)
    notes = [headless_warning(first.cells, spec)] if is_doubtful else []
    return names, lines, notes


def _without_blank_ends(text: bytes | memoryview, spec: CsvFile) -> tuple[bytes | memoryview, int]:
    """The text of a column without the blank lines after it, and those before its header.

    The number of the latter comes with it. The other blank lines are empty cells.
    """
    start, end = 0, len(text)
    while end > start and text[end - 1] in _BREAKS:
        end -= 1
    while spec.header is not False and text[start] in _BREAKS:
        start += 1
    return text[start:end], len(bytes(text[:start]).replace(b"\r\n", b"\n"))


def _compared_rows(
    path: Path, rows: Iterator[Row], names: list[str], spec: CsvFile
) -> tuple[Lines, list[list[str]]]:
    """The lines of the rows, each compared with the columns, and the cells of the first ones."""
    lines, below = array("q"), list[list[str]]()
    for row in rows:
        if (finding := row_finding(row, names, spec)) is not None:
            raise finding.error(path)
        lines.append(row.line)
        if len(below) < ROWS_TO_COMPARE:
            below.append(row.cells)
    return Lines.of(np.frombuffer(lines, np.int64)), below


def _parsed(
    path: Path,
    text: bytes | memoryview,
    names: list[str],
    spec: CsvFile,
    rows: int,
    kinds: Mapping[str, type],
) -> pd.DataFrame:
    import pandas as pd  # takes half a second to import

    options: dict[str, Any] = {
        "sep": spec.separator,
        "decimal": "." if has_marks(spec) else spec.decimal,
        "index_col": False,
        "low_memory": False,
        "na_values": missing_words(spec) or None,
        "skip_blank_lines": len(names) > 1,
        **({"dtype": kinds} if kinds else {}),
        **({"header": None, "names": names} if spec.header is False else {}),
    }
    if spec.header is not False and any(name == f"column_{n}" for n, name in enumerate(names, 1)):
        options |= {"header": 0, "names": names}  # the header may leave some out
    try:
        if isinstance(text, bytes):
            table = table_of_numbers(text, options, rows, len(names))
        else:
            table = table_in_pieces(text, options, rows, len(names), spec)
        return pd.read_csv(stream_of(text), **options) if table is None else table
    except (pd.errors.ParserError, ValueError) as error:
        raise DataError(f"{path}: is not CSV ({error}): correct the file.") from None
