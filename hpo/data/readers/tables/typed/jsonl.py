"""JSON lines: one object a line, whose keys are the columns of a table.

A key that an object does not have is an empty cell.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from hpo.data.files import unpacked
from hpo.data.head import Head
from hpo.data.readers.tables.examples import Table, examples_of, same_texts, split_paths
from hpo.data.readers.tables.lines import FileRows, Lines, Rows
from hpo.data.readers.tables.table import number_text
from hpo.data.readers.tables.typed.building import TableBuilder
from hpo.data.readers.tables.typed.files import check_names, dropped_names, head_of
from hpo.data.source import Source
from hpo.data.transforms.features import first_twice
from hpo.errors import DataError, cut
from hpo.spec.sections.data import DataSpec, TableFile
from hpo.spec.words import shown

_LINES_AT_ONCE = 1 << 13
_LONGEST_LINE = 64 << 20
_MOST_COLUMNS = 10_000
_MOST_HEAD_BYTES = 1 << 20


class _Object(NamedTuple):
    """The object in a line."""

    line: int
    cells: dict[str, Any]


def read_jsonl(path: Path, section: DataSpec) -> Source:
    """The examples of `data.dataset: {jsonl: ...}`.

    Raises:
        DataError: for a line that holds no object, or a file that is unfit.
    """
    with same_texts():
        return examples_of(jsonl_table(path, section), section)


def jsonl_table(path: Path, section: DataSpec) -> Table:
    """The columns of a file, and of those of the other splits.

    Raises:
        DataError: for a line that holds no object, or keys that are not those that the spec needs.
    """
    assert isinstance(section.dataset, TableFile)
    builder, start = TableBuilder(section.dataset, 0), 0
    read: list[FileRows] = []
    files = split_paths(path, section)
    for file in files:
        lines = array("q") if file is None else _read(file, section, builder, start)
        read.append(FileRows(file or path, len(lines), Lines.of(np.frombuffer(lines, np.int64))))
        start += len(lines)
    check_names(path, section, builder.names)
    has_splits = any(files[1:])
    places = np.repeat(np.arange(3, dtype=np.int8), [file.length for file in read])
    with same_texts():
        return Table(
            path,
            builder.frame(start),
            Rows(read),
            typed=builder.typed,
            places=places if has_splits else None,
        )


def _read(path: Path, section: DataSpec, builder: TableBuilder, start: int) -> array[int]:
    """Put the objects of a file into the rows of a table from `start` on; the line of each."""
    lines, left_out = array("q"), dropped_names(section)
    with unpacked(path) as stream:
        objects = _objects(path, stream)
        while some := [*islice(objects, _LINES_AT_ONCE)]:
            _put(path, builder, start + len(lines), some, left_out)
            lines.extend(one.line for one in some)
    if not lines:
        raise DataError(f"{path}: has no row: write one JSON object a line.")
    return lines


def head(path: Path, section: DataSpec) -> Head:
    """What `hpo check` tells of the first MiB of a file.

    Raises:
        DataError: for a line that holds no object.
    """
    names: dict[str, None] = {}
    with unpacked(path) as stream:
        count = 0
        for one in _objects(path, stream, _MOST_HEAD_BYTES):
            names |= dict.fromkeys(one.cells)
            count += 1
        is_whole = not stream.read(1)
    if not count:
        raise DataError(f"{path}: has no row: write one JSON object a line.")
    return head_of(path, section, [*names], count, is_whole=is_whole)


def _objects(path: Path, stream: BinaryIO, most: int | None = None) -> Iterator[_Object]:
    """The objects in the lines of a stream, up to `most` bytes; blank lines are none."""
    number, read = 0, 0
    while text := stream.readline(_LONGEST_LINE):
        number, read = number + 1, read + len(text)
        if len(text) == _LONGEST_LINE:
            raise DataError(f"{path}:{number}: is longer than 64 MiB: write one object a line.")
        if text.strip():
            yield _Object(number, _object(path, number, text))
        if most is not None and read >= most:
            return


def _object(path: Path, line: int, text: bytes) -> dict[str, Any]:
    where = f"{path}:{line}"
    try:
        found = _DECODER.decode(text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise _no_utf_8(where) from None
    except RecursionError:
        raise DataError(f"{where}: is too deep: write an object of plain values.") from None
    except RepeatedKeyError as error:
        key = shown(error.args[0])
        raise DataError(f"{where}: has the key {key} twice: write each key once.") from None
    except ValueError as error:
        if b"\0" in text:  # as in UTF-16
            raise _no_utf_8(where) from None
        why = cut(str(error), 100)
        cure = "write one JSON object a line"
        raise DataError(f"{where}: is not JSON ({why}): {cure}.") from None
    if not isinstance(found, dict):
        raise DataError(f"{where}: holds {_kind(found)}: write one JSON object a line.")
    return found


def _no_utf_8(where: str) -> DataError:
    return DataError(f"{where}: is not UTF-8: save the file as UTF-8.")


class RepeatedKeyError(ValueError):
    """An object has a key twice, of which Python would keep the last."""


def with_different_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, each of whose keys stands there once.

    Raises:
        RepeatedKeyError: with the first key that stands there again.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        raise RepeatedKeyError(first_twice([name for name, _ in pairs]))
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=with_different_keys)


def _put(
    path: Path, builder: TableBuilder, start: int, objects: Sequence[_Object], left_out: set[str]
) -> None:
    """Put the cells of objects into their columns."""
    names = dict.fromkeys(name for one in objects for name in one.cells if name not in left_out)
    if len(names) > _MOST_COLUMNS:
        raise DataError(
            f"{path}:{objects[0].line}: the objects from here on have {len(names):,} keys, more "
            f"than {_MOST_COLUMNS:,}: write the same keys in each."
        )
    for name in names:
        cells = [one.cells.get(name) for one in objects]
        kinds = {*map(type, cells)} - {type(None)}
        if kinds & {list, dict}:
            row = next(n for n, cell in enumerate(cells) if isinstance(cell, list | dict))
            raise DataError(
                f"{path}:{objects[row].line}: column {shown(name)} holds {_kind(cells[row])}, "
                "which is no number, text or boolean: list it in data.dataset.drop, or save it in "
                "columns of its own."
            )
        if kinds <= {int, float}:
            builder.put(name, start, _numbers(cells))
        elif kinds == {bool}:
            truths = [-1 if cell is None else int(cell) for cell in cells]
            builder.put_truths(name, start, np.array(truths, np.int8))
        else:
            codes: dict[str, int] = {}
            texts = map(_text, cells)
            places = [-1 if one is None else codes.setdefault(one, len(codes)) for one in texts]
            is_mixed = kinds != {str}
            builder.put_texts(name, start, np.array(places), [*codes], is_mixed=is_mixed)


def _text(cell: Any) -> str | None:
    """A cell of a column of texts, the same for a number as in a piece of numbers alone."""
    if isinstance(cell, float):
        return None if math.isnan(cell) else number_text(cell)
    return None if cell is None else str(cell)


def _numbers(cells: Sequence[Any]) -> np.ndarray:
    """Numbers as an array: whole ones, or float64 with NaN in empty cells."""
    try:
        if not any(cell is None or isinstance(cell, float) for cell in cells):
            return np.array(cells, np.int64)
        return np.array([np.nan if cell is None else cell for cell in cells], np.float64)
    except OverflowError:  # a whole number that no type holds
        return np.array([_float(cell) for cell in cells])


def _float(cell: Any) -> float:
    try:
        return float("nan") if cell is None else float(cell)
    except OverflowError:
        return float("inf") if cell > 0 else float("-inf")


def _kind(value: Any) -> str:
    """A value of JSON in words."""
    kinds = {list: "an array", dict: "an object", str: "a text", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")
