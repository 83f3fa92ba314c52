"""Parquet: a file, or a folder of files as Spark, Hadoop and Hive write it.

Files whose names start with `_` or `.`, such as `_SUCCESS`, hold no rows. A folder `key=value`
gives each row below it a column, as `pyarrow` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from hpo.data.head import Head
from hpo.data.readers.tables.table import is_number
from hpo.data.readers.tables.typed.arrow import check_types, put_batch, pyarrow, told
from hpo.data.readers.tables.typed.building import TableBuilder
from hpo.data.readers.tables.typed.files import TypedFile, head_of_files, read_typed
from hpo.data.source import Source
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec

_BATCH_ROWS = 1 << 16
_BUFFER = 1 << 20  # of the bytes of a column that are read at once
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def read_parquet(path: Path, section: DataSpec) -> Source:
    """The examples of `data.dataset: {parquet: ...}`.

    Raises:
        DataError: if a file is broken or unfit.
    """
    return read_typed(path, section, typed_files)


def head(path: Path, section: DataSpec) -> Head:
    """What the ends of the files say, where Parquet has the names and types of its columns.

    Raises:
        DataError: if a file is broken or unfit.
    """
    return head_of_files(path, section, typed_files(path))


def files(path: Path) -> list[Path]:
    """The file, or those in the folder that hold rows, sorted by their paths."""
    if path.is_file():
        return [path]
    found = [file for file in sorted(path.rglob("*")) if file.is_file()]
    return [file for file in found if not _is_hidden(file.relative_to(path))]


def typed_files(path: Path) -> list[TypedFile]:
    found = files(path)
    if not found:
        raise DataError(f"{path}: holds no Parquet file: correct the path.")
    keys = [keys_of(path, file) for file in found]
    for file, own in zip(found, keys, strict=True):
        if own.keys() != keys[0].keys():
            raise DataError(
                f"{file}: does not lie in folders {'/'.join(f'{key}=...' for key in keys[0])} as "
                f"{found[0]} does: give all files the same folders."
            )
    are_numbers = {
        key: all(own[key] in (None, "") or is_number(own[key] or "") for own in keys)
        for key in keys[0]
    }
    return [_typed_file(file, own, are_numbers) for file, own in zip(found, keys, strict=True)]


def _typed_file(
    path: Path, keys: Mapping[str, str | None], are_numbers: Mapping[str, bool]
) -> TypedFile:
    with told(path, "Parquet"), _opened(path) as file:
        rows, names = file.metadata.num_rows, file.schema_arrow.names
    names = [*names, *(key for key in keys if key not in names)]
    return TypedFile(
        path,
        rows,
        tuple(names),
        partial(_put, path, rows, keys, are_numbers),
        partial(_check, path, keys),
    )


def _check(path: Path, keys: Mapping[str, str | None], names: Sequence[str]) -> None:
    """Refuse columns that are no cells."""
    with told(path, "Parquet"), _opened(path) as file:
        check_types(path, file.schema_arrow, [name for name in names if name not in keys])


def _put(
    path: Path,
    rows: int,
    keys: Mapping[str, str | None],
    are_numbers: Mapping[str, bool],
    builder: TableBuilder,
    start: int,
    names: Sequence[str],
) -> None:
    """Put the rows of a file into a table, and what its folders say of them."""
    found = start
    with told(path, "Parquet"), _opened(path) as file:
        own = [name for name in names if name not in keys]
        for batch in file.iter_batches(_BATCH_ROWS, columns=own, use_threads=False):
            if found + len(batch) > start + rows:
                break
            put_batch(builder, found, batch, own)
            found += len(batch)
    if found != start + rows:
        raise DataError(f"{path}: holds other rows than its end announces: save it again.")
    for key in [key for key in keys if key in names]:
        value = keys[key]
        if value is None:
            builder.put(key, start, np.full(rows, np.nan))
        elif are_numbers[key]:
            builder.put(key, start, np.full(rows, _number(value)))
        else:
            builder.put_texts(key, start, np.zeros(rows, np.int64), [value])


def _opened(path: Path) -> Any:
    return pyarrow("pyarrow.parquet").ParquetFile(path, buffer_size=_BUFFER, memory_map=True)


def _number(text: str) -> float | int:
    try:
        return int(text)
    except ValueError:
        return float(text)


def keys_of(folder: Path, file: Path) -> dict[str, str | None]:
    """The columns that the folders of a file give, with the value of each."""
    parts = file.relative_to(folder).parts[:-1] if file != folder else ()
    pairs = [part.partition("=") for part in parts if "=" in part]
    return {unquote(key): None if value == _NO_VALUE else unquote(value) for key, _, value in pairs}


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(("_", ".")) for part in path.parts)
