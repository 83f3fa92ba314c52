"""CSV tables: numeric and text columns, empty cells, a target column, a column of weights.

A cell is empty where pandas reads it as missing: no text, NA, NaN, null and similar words.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import zlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.source import Source
from hpo.errors import DataError
from hpo.spec.sections.data import CsvFile, DataSpec

if TYPE_CHECKING:
    import pandas as pd

# A numeric target is read as classes if it has at most this many values, all of them whole numbers.
MOST_NUMERIC_CLASSES = 20
# A column with more different texts than this holds names or dates rather than categories.
MOST_CATEGORIES = 1000
# If at least this share of a column's cells are numbers, a text among them is a mistake.
NUMERIC_SHARE = 0.9


def read_csv(path: Path, spec: DataSpec) -> Source:
    """The examples of `data.dataset: {csv: ...}`."""
    assert isinstance(spec.dataset, CsvFile)
    return read_table(path, spec.dataset)


def read_table(path: Path, spec: CsvFile) -> Source:
    """The examples in a CSV file with a header.

    With `task: auto` the target is read as classes if it is text, or has at most
    `MOST_NUMERIC_CLASSES` different values that are whole numbers. Else it is a quantity.

    Raises:
        DataError: if the file is broken or unfit; the message gives the line if one is at fault.
    """
    text = _read_text(path)
    header, lines = _check_rows(path, text, spec.separator)
    _check_columns(path, header, spec)
    import pandas as pd  # takes half a second to import

    table = pd.read_csv(io.StringIO(text), sep=spec.separator, index_col=False, low_memory=False)
    target = _checked_target(path, table[spec.target], lines)
    weight = None if spec.weight is None else _weights(path, table[spec.weight], lines)
    features = table.drop(columns=[*_named_columns(spec), *spec.drop])
    numeric = [name for name in features if pd.api.types.is_numeric_dtype(features[name])]
    words = [name for name in features if name not in numeric]
    _check_stray_texts(path, features[words], lines)
    y, classes = _classes_or_values(path, target, spec.task)
    if spec.task == "counts":
        _check_counts(path, target, lines)
    return Source(
        x=_numbers(path, features[numeric], lines),
        y=y,
        target=f"{path}: target '{spec.target}'",
        classes=classes,
        categories=_categories(path, features[words]) if words else None,
        weight=weight,
        is_count=spec.task == "counts",
    )


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{path}:{line}: is not UTF-8: save the file as UTF-8.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: is a damaged gzip file ({error}). Download it again.") from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}. Check its permissions."
        ) from None
    if not text.strip():
        raise DataError(f"{path}: is empty: it needs a header and one row an example.")
    return text


def _check_rows(path: Path, text: str, separator: str) -> tuple[list[str], np.ndarray]:
    """The header, and the line on which each row starts; pandas would fill short rows silently."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header: list[str] = []
    lines = []
    line = 1
    try:
        for row in reader:
            if row and not header:
                header = row
            elif row:
                if len(row) != len(header):
                    raise DataError(
                        f"{path}:{line}: has {len(row)} cells where the header has {len(header)}: "
                        "correct the line, or set data.dataset.separator."
                    )
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{line}: is not CSV ({error}): correct the line.") from None
    if not lines:
        raise DataError(f"{path}: has a header and no rows below it: add one row an example.")
    return header, np.array(lines)


def _check_columns(path: Path, header: list[str], spec: CsvFile) -> None:
    for position, name in enumerate(header, start=1):
        if not name.strip():
            raise DataError(
                f"{path}:1: column {position} has no name: name it in the header (and "
                "list it in data.dataset.drop if it only numbers the rows)."
            )
    name, times = Counter(header).most_common(1)[0]
    if times > 1:
        raise DataError(f"{path}:1: {times} columns are named '{name}': rename all but one.")
    named = _named_columns(spec)
    for column, field in [*named.items(), *((name, "drop") for name in spec.drop)]:
        if column not in header:
            close = difflib.get_close_matches(column, header, n=1)
            hint = f"Did you mean '{close[0]}'? " if close else _separator_hint(header)
            raise DataError(
                f"{path}: data.dataset.{field}: unknown column '{column}'. {hint}"
                f"Columns: {', '.join(header)}."
            )
    if spec.weight == spec.target:
        raise DataError(
            f"{path}: data.dataset.weight: '{spec.weight}' is the target: name another column."
        )
    for column, field in named.items():
        if column in spec.drop:
            raise DataError(f"{path}: data.dataset.drop: '{column}' is the {field}: keep it.")
    if set(header) == {*named, *spec.drop}:
        raise DataError(
            f"{path}: no column is left to learn from beside the target '{spec.target}': "
            "shorten data.dataset.drop, or set data.dataset.separator."
        )


def _named_columns(spec: CsvFile) -> dict[str, str]:
    """The columns that are no features because a spec names them, with the fields that do."""
    return {spec.target: "target"} | ({spec.weight: "weight"} if spec.weight is not None else {})


def _separator_hint(header: list[str]) -> str:
    if len(header) == 1:
        for separator, written in ((";", ";"), ("\t", r"\t")):
            if separator in header[0]:
                return f'The header is one column: set data.dataset.separator: "{written}". '
    return ""


def _check_stray_texts(path: Path, columns: pd.DataFrame, lines: np.ndarray) -> None:
    import pandas as pd

    for name in columns:
        texts = columns[name].dropna().astype(str)
        is_number = pd.to_numeric(texts, errors="coerce").notna()
        if not is_number.all() and is_number.mean() >= NUMERIC_SHARE:
            row = is_number.idxmin()
            raise DataError(
                f"{path}:{lines[row]}: column '{name}' holds {texts[row]!r} among numbers: "
                "correct it, leave the cell empty, or list the column in data.dataset.drop."
            )


def _checked_target(path: Path, target: pd.Series[Any], lines: np.ndarray) -> pd.Series[Any]:
    empty = np.flatnonzero(target.isna())
    if len(empty):
        count = "1 row has" if len(empty) == 1 else f"{len(empty)} rows have"
        raise DataError(
            f"{path}:{lines[empty[0]]}: {count} no value in the target column "
            f"'{target.name}' (this is the first): fill them in, or remove those rows."
        )
    if target.dtype.kind == "f" and (too_large := _is_too_large(target.to_numpy())).any():
        line = lines[np.flatnonzero(too_large)[0]]
        raise DataError(
            f"{path}:{line}: the target '{target.name}' is infinite or too large for float32: "
            "write a smaller number, or remove the row."
        )
    if target.nunique() == 1:
        raise DataError(
            f"{path}: the target '{target.name}' is {target.iloc[0]} in every row: there is "
            "nothing to learn. Choose another data.dataset.target."
        )
    return target


def _weights(path: Path, column: pd.Series[Any], lines: np.ndarray) -> np.ndarray:
    """The weights in a column, float64."""
    import pandas as pd

    weights: np.ndarray = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        is_weight = (weights >= 0) & ~_is_too_large(weights)
    wrong = np.flatnonzero(~is_weight)
    if len(wrong):
        cell = column.iloc[wrong[0]]
        found = "is empty" if pd.isna(cell) else f"is {cell}"
        raise DataError(
            f"{path}:{lines[wrong[0]]}: the weight in column '{column.name}' {found}: write a "
            "number of 0 or more that float32 can hold, or remove the row."
        )
    if not weights.any():
        raise DataError(
            f"{path}: every weight in column '{column.name}' is 0: correct the column, or "
            "remove data.dataset.weight."
        )
    return weights


def _classes_or_values(
    path: Path, target: pd.Series[Any], task: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The index of each row's class and the sorted classes, or float64 values and no classes."""
    is_number = target.dtype.kind in "iuf"
    if task in ("regression", "counts") and not is_number:
        raise DataError(
            f"{path}: data.dataset.task: {task}: the target '{target.name}' is not a number "
            f"everywhere (such as '{_first_text(target)}'): write classification, or correct the "
            "file."
        )
    labels = target if is_number else target.astype(str)
    values, numbers = np.unique(labels.to_numpy(), return_inverse=True)
    is_whole = is_number and bool((values == np.floor(values)).all())
    if task == "auto":
        is_regression = is_number and not (is_whole and len(values) <= MOST_NUMERIC_CLASSES)
    else:
        is_regression = task in ("regression", "counts")
    if is_regression:
        return target.to_numpy(np.float64), ()
    names = (str(int(value)) if is_whole else str(value) for value in values)
    return numbers.astype(np.int32), tuple(names)


def _check_counts(path: Path, target: pd.Series[Any], lines: np.ndarray) -> None:
    values = target.to_numpy(np.float64)
    wrong = np.flatnonzero((values < 0) | (values != np.floor(values)))
    if len(wrong):
        raise DataError(
            f"{path}:{lines[wrong[0]]}: the target '{target.name}' is {values[wrong[0]]:g}, and "
            "counts are whole numbers from 0: correct it, or set data.dataset.task to regression."
        )


def _first_text(target: pd.Series[Any]) -> str:
    import pandas as pd

    is_text = pd.to_numeric(target, errors="coerce").isna()
    return str(target[is_text].iloc[0] if is_text.any() else target.iloc[0])


def _numbers(path: Path, columns: pd.DataFrame, lines: np.ndarray) -> np.ndarray:
    x: np.ndarray = columns.to_numpy(np.float64)
    too_large = np.argwhere(_is_too_large(x))
    if len(too_large):
        row, column = too_large[0]
        raise DataError(
            f"{path}:{lines[row]}: column '{columns.columns[column]}' is infinite or too large for "
            "float32: write a smaller number, or leave the cell empty."
        )
    return x


def _is_too_large(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(x) > np.finfo(np.float32).max)


def _categories(path: Path, columns: pd.DataFrame) -> np.ndarray:
    codes = np.empty(columns.shape, np.int32)
    for position, name in enumerate(columns):
        column = columns[name]
        # A column of True, False and empty cells is not text yet.
        texts = column.where(column.isna(), column.astype(str))
        codes[:, position], values = texts.factorize(sort=True)
        if len(values) > MOST_CATEGORIES:
            raise DataError(
                f"{path}: column '{name}' holds {len(values)} different texts, such as "
                f"'{values[0]}', more than the {MOST_CATEGORIES} that can be categories: list it "
                "in data.dataset.drop."
            )
    return codes
