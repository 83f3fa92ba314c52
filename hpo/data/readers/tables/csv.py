"""CSV tables: the text of a file as columns.

A cell is empty where pandas reads it as missing: no text, NA, NaN, null and similar words.
"""

from __future__ import annotations

import io
from array import array
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.files import read_bytes
from hpo.data.readers.tables.examples import Table, examples_of, same_texts
from hpo.data.readers.tables.lines import FileRows, Lines, Rows, plain_lines
from hpo.data.readers.tables.pieces import table_of_numbers
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
    table_text,
)
from hpo.data.source import Source
from hpo.errors import DataError
from hpo.spec.sections.columns import Columns
from hpo.spec.sections.data import CsvFile, DataSpec
from hpo.spec.sections.split import SplitSpec

if TYPE_CHECKING:
    import pandas as pd


def read_csv(path: Path, section: DataSpec) -> Source:
    """The examples of `data.dataset: {csv: ...}`; `data.split` may name a column.

    Raises:
        DataError: if the file is broken or unfit; the message gives the line if one is at fault.
    """
    assert isinstance(section.dataset, CsvFile)
    spec = section.dataset
    text = table_text(path, in_utf8(path, read_bytes(path), spec.encoding), spec.skip)
    names, lines, notes = _check_rows(path, text, spec, section.split, section.columns)
    with same_texts():
        frame = _parsed(path, text, names, spec, len(lines))
        rows = Rows([FileRows(path, len(lines), lines)])
        del text  # it may be large
        return examples_of(Table(path, frame, rows, tuple(notes)), section)


def _check_rows(
    path: Path, text: bytes, spec: CsvFile, split: SplitSpec | None, columns: Columns
) -> tuple[list[str], Lines, list[str]]:
    """The columns' names, the line on which each row starts, and what the user should know.

    pandas would fill short rows without a word.
    """
    first, rows = first_row(path, numbered_rows(path, text, spec), spec)
    names = column_names(first.cells, spec)
    found = plain_lines(text, spec.separator, len(names), spec.skip + 1)
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


def _parsed(path: Path, text: bytes, names: list[str], spec: CsvFile, rows: int) -> pd.DataFrame:
    import pandas as pd  # takes half a second to import

    options: dict[str, Any] = {
        "sep": spec.separator,
        "decimal": spec.decimal,
        "index_col": False,
        "low_memory": False,
        "na_values": missing_words(spec) or None,
        **({"header": None, "names": names} if spec.header is False else {}),
    }
    try:
        table = table_of_numbers(text, options, rows, len(names))
        return pd.read_csv(io.BytesIO(text), **options) if table is None else table
    except (pd.errors.ParserError, ValueError) as error:
        raise DataError(f"{path}: is not CSV ({error}): correct the file.") from None
