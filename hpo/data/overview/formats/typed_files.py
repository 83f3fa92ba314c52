"""A look at files that say the types of their columns: Parquet, Arrow, and JSON lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.files import most_bytes, opened
from hpo.data.overview.formats.sample import Sample
from hpo.data.overview.gaps import with_number_gaps
from hpo.data.readers.tables.columns import any_too_large
from hpo.data.readers.tables.table import huge_number
from hpo.data.readers.tables.typed.arrow import pyarrow, told
from hpo.data.readers.tables.typed.arrow_files import files as arrow_files
from hpo.data.readers.tables.typed.arrow_files import named_batches, train_of
from hpo.data.readers.tables.typed.parquet import files, keys_of
from hpo.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_PARQUET, _LINES = (".parquet", ".pq"), (".jsonl", ".ndjson")
_MOST_FILES, _ROWS_OF_A_FILE = 8, 1 << 15
_MOST_BYTES = 16 << 20
NO_CELLS = "holds lists or objects, which are no cells"


def look_at_parquet(path: Path, written: str) -> Sample | None:
    """A sample of a Parquet file, or of a folder of them. None for other files.

    Raises:
        DataError: for a file that cannot be read.
    """
    if path.is_dir():
        found = [file for file in files(path) if file.suffix in _PARQUET]
    else:
        found = [path] if path.suffix in _PARQUET else []
    if not found:
        return None
    import pandas as pd

    reader, rows, frames = pyarrow("pyarrow.parquet"), 0, []
    step = max(1, len(found) // _MOST_FILES)
    for place, file in enumerate(found):
        with told(file, "Parquet"), reader.ParquetFile(file, memory_map=True) as one:
            rows += one.metadata.num_rows
            if place % step:
                continue
            for batch in one.iter_batches(_ROWS_OF_A_FILE):
                frames.append(batch.to_pandas().assign(**_numbers(keys_of(path, file))))
                break
    if not frames:
        raise DataError(f"{path}: has no row: give a file with one row an example.")
    return _sample(path, pd.concat(frames, ignore_index=True), rows, {"parquet": written})


def look_at_arrow(path: Path, written: str) -> Sample | None:
    """A sample of an Arrow file, or of a folder of the package `datasets`. None for other files.

    Raises:
        DataError: for a file that cannot be read.
    """
    if path.is_file() and path.suffix not in (".arrow", ".feather"):
        return None
    found = arrow_files(train_of(path)) if path.exists() else []
    if not found:
        return None
    import pandas as pd

    rows, frames = 0, list[pd.DataFrame]()
    for file in found:
        seen = 0
        for batch in named_batches(file):
            rows += batch.num_rows
            if seen < _ROWS_OF_A_FILE and len(frames) < _MOST_FILES:
                frames.append(batch.to_pandas())
                seen += batch.num_rows
    if not frames:
        raise DataError(f"{path}: has no row: give a file with one row an example.")
    return _sample(path, pd.concat(frames, ignore_index=True), rows, {"arrow": written})


def look_at_jsonl(path: Path, written: str) -> Sample | None:
    """A sample of a file of JSON lines. None for other files.

    Raises:
        DataError: for a line that is no JSON object.
    """
    if not path.is_file() or not path.name.lower().removesuffix(".gz").endswith(_LINES):
        return None
    import pandas as pd

    with opened(path) as stream:
        data = stream.read(_MOST_BYTES + 1)
    is_whole = len(data) <= _MOST_BYTES
    lines = data.splitlines() if is_whole else data[: data.rfind(b"\n")].splitlines()
    objects = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            one = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            one = None
        if not isinstance(one, dict):
            raise DataError(f"{path}:{number}: holds no JSON object: write one object a line.")
        objects.append(one)
    if not objects:
        raise DataError(f"{path}: has no row: write one JSON object a line.")
    share = 1.0 if is_whole else min(1.0, len(data) / most_bytes(path))
    return _sample(path, pd.DataFrame(objects), round(len(objects) / share), {"jsonl": written})


def _numbers(keys: Mapping[str, str | None]) -> dict[str, Any]:
    """What the folders of a file say, as numbers where they are."""
    import pandas as pd

    found = pd.Series(dict(keys), dtype=object)
    numbers = pd.to_numeric(found, errors="coerce")
    return {key: found[key] if pd.isna(numbers[key]) else numbers[key] for key in keys}


def _sample(path: Path, frame: pd.DataFrame, rows: int, dataset: dict[str, Any]) -> Sample:
    """The sample, without columns of lists and objects; dates and codes are texts.

    Raises:
        DataError: for a number that the readers refuse.
    """
    import pandas as pd

    others = []
    for name in frame:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column.dtype):
            continue
        if column.map(lambda cell: isinstance(cell, list | dict | bytes) or _has_shape(cell)).any():
            others.append(str(name))
            continue
        frame[name] = column.where(column.isna(), column.astype(str)).astype(object)
    reasons = {"drop": NO_CELLS} if others else {}
    is_whole = rows <= len(frame)
    kept, missing = with_number_gaps(frame.drop(columns=others))
    numbers = kept.select_dtypes("number")
    for name in numbers:
        if any_too_large(numbers[name].to_numpy(np.float64, na_value=np.nan)):
            raise DataError(f"{path}: {huge_number(str(name))}")
    dataset |= {"drop": others} if others else {}
    if missing:
        dataset["missing"] = missing
        reasons["missing"] = "read as empty cells"
    return Sample(kept, rows, is_whole, dataset, reasons)


def _has_shape(cell: Any) -> bool:
    return getattr(cell, "ndim", 0) > 0
