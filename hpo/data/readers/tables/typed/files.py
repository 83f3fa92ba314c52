"""Tables in files that name their columns and say the types of their cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hpo.data.head import Head, HeadMistake
from hpo.data.readers.tables.examples import (
    Table,
    check_columns,
    examples_of,
    same_texts,
    split_paths,
)
from hpo.data.readers.tables.lines import FileRows, Rows
from hpo.data.readers.tables.table import Finding, column_findings
from hpo.data.readers.tables.typed.building import TableBuilder
from hpo.data.source import Source
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec, TableFile
from hpo.spec.sections.split import column_of
from hpo.spec.words import count_text, shown

# The most cells of a file without a limit, and of each of its bytes beyond it. A file of equal
# cells may be tiny, and so may a bomb.
_ALWAYS_READ = 16 << 20
_MOST_CELLS_OF_A_BYTE = 50


class TypedFile(NamedTuple):
    """A file of a table.

    `put` puts its cells of some columns into the rows from a first one on. `check` raises
    `DataError` for columns that hold other things than cells.
    """

    path: Path
    rows: int
    names: tuple[str, ...]
    put: Callable[[TableBuilder, int, Sequence[str]], None]
    check: Callable[[Sequence[str]], None]


def read_typed(
    path: Path, section: DataSpec, files_of: Callable[[Path], Sequence[TypedFile]]
) -> Source:
    """The examples in the rows of the files at a path, and of those of the other splits.

    Raises:
        DataError: if the columns of the files differ, or are not those that the spec needs.
    """
    with same_texts():
        return examples_of(typed_table(path, section, files_of), section)


def typed_table(
    path: Path, section: DataSpec, files_of: Callable[[Path], Sequence[TypedFile]]
) -> Table:
    """The columns of the files at a path, and of those of the other splits.

    Raises:
        DataError: if the columns of the files differ, or are not those that the spec needs.
    """
    assert isinstance(section.dataset, TableFile)
    found = [[] if one is None else files_of(one) for one in split_paths(path, section)]
    files = [file for some in found for file in some]
    each = [sum(file.rows for file in some) for some in found]
    places = np.repeat(np.arange(3, dtype=np.int8), each) if any(found[1:]) else None
    rows = sum(each)
    if not rows:
        raise DataError(f"{path}: has no row: give a file with one row an example.")
    names = wanted_names(path, section, files)
    builder = TableBuilder(section.dataset, rows)
    start = 0
    for file in files:
        _check_size(file, len(names))
        file.check(names)
        file.put(builder, start, names)
        start += file.rows
    with same_texts():
        lie = Rows([FileRows(file.path, file.rows) for file in files])
        return Table(path, builder.frame(rows), lie, typed=builder.typed, places=places)


def wanted_names(path: Path, section: DataSpec, files: Sequence[TypedFile]) -> list[str]:
    """The columns of the files that are read: all but those that the spec drops.

    Raises:
        DataError: if the columns of the files differ, or are not those that the spec needs.
    """
    names = files[0].names
    for file in files[1:]:
        check_columns(files[0].path, names, file.path, file.names)
    check_names(path, section, names)
    left_out = dropped_names(section)
    return [name for name in names if name not in left_out]


def check_names(path: Path, section: DataSpec, names: Sequence[str]) -> None:
    """Refuse columns that are not those that the spec needs.

    Raises:
        DataError: for the first mistake.
    """
    for finding in _findings(section, names):
        raise finding.error(path)


def _findings(section: DataSpec, names: Sequence[str]) -> Iterator[Finding]:
    known = [*names, *(name for name in dropped_names(section) if name not in names)]
    return column_findings(known, section.dataset, None, False, section.split, section.columns)


def dropped_names(section: DataSpec) -> set[str]:
    """The columns that are never read; whether they are there does not matter."""
    by_name, split = section.columns.by_name, section.split
    dropped = {*section.dataset.drop, *(name for name, one in by_name.items() if one.drop)}
    return dropped - ({column_of(split)} if split is not None else set())


def head_of(
    path: Path, section: DataSpec, names: Sequence[str], rows: int, *, is_whole: bool = True
) -> Head:
    """What `hpo check` tells of a table with these columns.

    What the names lack is no mistake where others may follow in the rest of the file.
    """
    spec = section.dataset
    size = f"{count_text(rows, 'row')} of {count_text(len(names), 'column')}"
    seen = f"{spec.path}: {size}"
    if not is_whole:
        return Head(f"{seen}, the first MiB of the file; the rest was not read")
    findings = _findings(section, names)
    return Head(seen, tuple(HeadMistake(one.path, f"{path}: {one.text}") for one in findings))


def head_of_files(path: Path, section: DataSpec, files: Sequence[TypedFile]) -> Head:
    """What `hpo check` tells of a table in files that name their columns before their rows.

    Raises:
        DataError: if the columns of the files differ, or hold other things than cells.
    """
    found = head_of(path, section, files[0].names, sum(file.rows for file in files))
    if not found.mistakes:
        names = wanted_names(path, section, files)
        for file in files:
            file.check(names)
    return found


def _check_size(file: TypedFile, columns: int) -> None:
    size = file.path.stat().st_size
    if file.rows * columns > max(_ALWAYS_READ, _MOST_CELLS_OF_A_BYTE * size):
        raise DataError(
            f"{file.path}: says that its {size:,} bytes hold {file.rows:,} rows, as no table does: "
            "if you trust it, save it without compression."
        )


def no_cells(path: Path, name: str, kind: str) -> DataError:
    """That a column holds what no cell of a table is."""
    return DataError(
        f"{path}: column {shown(name)} holds {kind}, which is no number, text, date or boolean: "
        "list it in data.dataset.drop, or save it in columns of their own."
    )
