"""Record batches of Arrow as the columns of a table, for Parquet and Arrow files alike."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hpo.data.readers.tables.typed.building import TableBuilder
from hpo.data.readers.tables.typed.files import no_cells
from hpo.errors import DataError, cut


def pyarrow(module: str = "pyarrow") -> Any:
    """A module of pyarrow.

    Raises:
        DataError: where it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise DataError(
            "Parquet and Arrow files need pyarrow, which is not installed: run "
            "`pip install 'hpo-lanes[arrow]'`."
        ) from None


@contextmanager
def told(path: Path, kind: str) -> Iterator[None]:
    """Tells what is wrong with a file that pyarrow cannot read.

    Raises:
        DataError: in place of an error of pyarrow.
    """
    pa = pyarrow()
    try:
        yield
    except OSError as error:
        why = cut(" ".join(str(error.strerror or error).split()), 200).rstrip(".")
        raise DataError(f"{path}: cannot be read ({why}): save it again as {kind}.") from None
    except (pa.ArrowException, OverflowError, UnicodeDecodeError) as error:
        why = cut(" ".join(str(error).split()), 200).rstrip(".")
        raise DataError(f"{path}: is damaged, or no {kind} ({why}): save it again.") from None


def check_types(path: Path, schema: Any, names: Sequence[str]) -> None:
    """Refuse columns of lists, bytes and other things that are no cells.

    Raises:
        DataError: for the first of them.
    """
    types = pyarrow("pyarrow.types")
    for name in names:
        kind = schema.field(name).type
        inner = kind.value_type if types.is_dictionary(kind) else kind
        is_number = types.is_integer(inner) or types.is_floating(inner) or types.is_decimal(inner)
        is_other = types.is_boolean(inner) or types.is_null(inner)
        is_date = types.is_date(inner) or types.is_timestamp(inner)
        if not (_is_text(inner) or is_number or is_other or is_date):
            raise no_cells(path, name, cut(str(kind)))


def put_batch(builder: TableBuilder, start: int, batch: Any, names: Sequence[str]) -> None:
    """Put the cells of a record batch into the rows from `start` on."""
    for name in names:
        put_array(builder, name, start, batch.column(name))


def put_array(builder: TableBuilder, name: str, start: int, cells: Any) -> None:
    """Put an Arrow array into the rows of a column from `start` on."""
    pa, types = pyarrow(), pyarrow("pyarrow.types")
    kind = cells.type
    if types.is_dictionary(kind) and not _is_text(kind.value_type):
        cells, kind = cells.dictionary_decode(), kind.value_type
    if types.is_null(kind):
        builder.put(name, start, np.full(len(cells), np.nan))
    elif types.is_boolean(kind):
        builder.put_truths(name, start, _filled(cells.cast(pa.int8()), -1))
    elif types.is_date(kind) or types.is_timestamp(kind):
        plain = cells.cast(pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False)
        whole = plain.cast(pa.int64())
        dates = _filled(whole, np.iinfo(np.int64).min).view("datetime64[us]")  # that is NaT
        builder.put(name, start, dates)
    elif types.is_dictionary(kind) or _is_text(kind):
        coded = (
            cells
            if types.is_dictionary(kind)
            else cells.cast(pa.large_string()).dictionary_encode()
        )
        texts = ["" if text is None else text for text in coded.dictionary.to_pylist()]
        codes = _filled(coded.indices.cast(pa.int64()), -1)
        builder.put_texts(name, start, codes, texts)
    else:
        kind = kind if types.is_integer(kind) and not cells.null_count else pa.float64()
        # A float of 16 bits has no cast of its own.
        safe = cells.cast(pa.float32()) if types.is_float16(cells.type) else cells
        builder.put(name, start, safe.cast(kind, safe=False).to_numpy(zero_copy_only=False))


def _is_text(kind: Any) -> bool:
    types = pyarrow("pyarrow.types")
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _filled(cells: Any, value: int) -> np.ndarray:
    """Whole numbers with a value in the empty cells."""
    found: np.ndarray = cells.fill_null(value).to_numpy(zero_copy_only=False)
    return found
