"""CSV tables: numeric and text columns, empty cells, a target column, a column of weights.

A cell is empty where pandas reads it as missing: no text, NA, NaN, null and similar words.
"""

from __future__ import annotations

import io
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.files import read_bytes
from hpo.data.readers.tables.columns import any_too_large, is_too_large, typed_columns
from hpo.data.readers.tables.lines import Lines, plain_lines
from hpo.data.readers.tables.pieces import table_of_numbers
from hpo.data.readers.tables.split_column import read_split_column
from hpo.data.readers.tables.table import (
    ROWS_TO_COMPARE,
    Finding,
    Row,
    column_findings,
    column_names,
    first_row,
    headless_warning,
    huge_target,
    in_utf8,
    looks_like_data,
    missing_words,
    no_features,
    no_rows,
    no_target,
    numbered_rows,
    row_finding,
    table_text,
    target_names,
)
from hpo.data.source import Source
from hpo.errors import DataError, cut
from hpo.spec.sections.columns import Columns
from hpo.spec.sections.data import CsvFile, DataSpec
from hpo.spec.sections.split import SplitSpec, column_of
from hpo.spec.words import shown

if TYPE_CHECKING:
    import pandas as pd

# A numeric target is read as classes if it has at most this many values, all of them whole numbers.
MOST_NUMERIC_CLASSES = 20
_PIECE_OF_ROWS = 1 << 18


def read_csv(path: Path, section: DataSpec) -> Source:
    """The examples of `data.dataset: {csv: ...}`; `data.split` may name a column.

    With `task: auto` the target is read as classes if it is text, or has at most
    `MOST_NUMERIC_CLASSES` different values that are whole numbers. Else it is a quantity.

    Raises:
        DataError: if the file is broken or unfit; the message gives the line if one is at fault.
    """
    assert isinstance(section.dataset, CsvFile)
    spec, split, columns = section.dataset, section.split, section.columns
    text = table_text(path, in_utf8(path, read_bytes(path), spec.encoding), spec.skip)
    names, lines, notes = _check_rows(path, text, spec, split, columns)
    table = _parsed(path, text, names, spec, len(lines))
    del text  # it may be large
    others = no_features(spec, split, columns)
    if spec.drop_rows.missing_target:
        table, lines, dropped = _with_target(path, table, lines, spec)
        notes += dropped
    if spec.drop_rows.duplicates:
        compared = [name for name in table if name in spec.targets or name not in others]
        table, lines, dropped = _without_repeated(table, compared, lines, spec)
        notes += dropped
    targets = [_checked_target(path, table[name], lines) for name in spec.targets]
    weight = None if spec.weight is None else _weights(path, table[spec.weight], lines)
    by = None if split is None else read_split_column(path, split, table[column_of(split)], lines)
    features = table.drop(columns=[*others])
    typed = typed_columns(path, features, lines, columns)
    del features, table  # `typed` holds what is needed of them
    y, classes, task = _targets(path, targets, spec)
    if task == "counts":
        _check_counts(path, targets[0], lines)
    return Source(
        x=typed.x,
        y=y,
        target=f"{path}: target {target_names(spec)}",
        classes=classes,
        categories=typed.categories,
        names=typed.names,
        text_names=typed.text_names,
        values=typed.values,
        weight=weight,
        split_by=by,
        is_count=task == "counts",
        is_multilabel=task == "multilabel",
        notes=(*notes, *typed.notes),
    )


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
        raise _error(path, finding)
    notes = [headless_warning(first.cells, spec)] if is_doubtful else []
    return names, lines, notes


def _compared_rows(
    path: Path, rows: Iterator[Row], names: list[str], spec: CsvFile
) -> tuple[Lines, list[list[str]]]:
    """The lines of the rows, each compared with the columns, and the cells of the first ones."""
    lines, below = array("q"), list[list[str]]()
    for row in rows:
        if (finding := row_finding(row, names, spec)) is not None:
            raise _error(path, finding)
        lines.append(row.line)
        if len(below) < ROWS_TO_COMPARE:
            below.append(row.cells)
    return Lines.of(np.frombuffer(lines, np.int64)), below


def _error(path: Path, finding: Finding) -> DataError:
    where = path if finding.line is None else f"{path}:{finding.line}"
    field = "" if finding.key == "csv" else f"data.{'.'.join(finding.path)}: "
    return DataError(f"{where}: {field}{finding.text}")


def _parsed(path: Path, text: bytes, names: list[str], spec: CsvFile, rows: int) -> pd.DataFrame:
    import pandas as pd  # takes half a second to import

    options: dict[str, Any] = {
        "sep": spec.separator,
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


def _with_target(
    path: Path, table: pd.DataFrame, lines: Lines, spec: CsvFile
) -> tuple[pd.DataFrame, Lines, list[str]]:
    """The rows that have a target, their lines, and how many have none."""
    is_kept = table[[*spec.targets]].notna().all(axis=1).to_numpy()
    dropped = int((~is_kept).sum())
    if not dropped:
        return table, lines, []
    if dropped == len(table):
        raise DataError(
            f"{path}: no row has a value in the target column {target_names(spec)}: correct "
            "data.dataset.missing, or name another data.dataset.target."
        )
    rows = "1 row without a target is" if dropped == 1 else f"{dropped:,} rows without a target are"
    return (
        table[is_kept].reset_index(drop=True),
        lines.where(is_kept),
        [f"{spec.csv}: {rows} left out."],
    )


def _without_repeated(
    table: pd.DataFrame, compared: list[str], lines: Lines, spec: CsvFile
) -> tuple[pd.DataFrame, Lines, list[str]]:
    """The rows whose cells in the compared columns no earlier row has, and how many others are."""
    is_kept = ~table.duplicated(subset=compared).to_numpy()
    repeated = int((~is_kept).sum())
    if not repeated:
        return table, lines, []
    rows = "1 row that repeats an earlier one is"
    if repeated > 1:
        rows = f"{repeated:,} rows that repeat earlier ones are"
    kept = table[is_kept].reset_index(drop=True)
    return kept, lines.where(is_kept), [f"{spec.csv}: {rows} left out."]


def _checked_target(path: Path, target: pd.Series[Any], lines: Lines) -> pd.Series[Any]:
    empty = np.flatnonzero(target.isna())
    if len(empty):
        text = no_target(len(empty), str(target.name))
        raise DataError(f"{path}:{lines[empty[0]]}: {text}")
    if target.dtype.kind == "f" and any_too_large(values := target.to_numpy()):
        line = lines[np.flatnonzero(is_too_large(values))[0]]
        raise DataError(f"{path}:{line}: {huge_target(str(target.name))}")
    if (target == target.iloc[0]).all():
        raise DataError(
            f"{path}: the target {shown(target.name)} is {shown(target.iloc[0])} in every row: "
            "there is nothing to learn. Choose another data.dataset.target."
        )
    return target


def _weights(path: Path, column: pd.Series[Any], lines: Lines) -> np.ndarray:
    """The weights in a column, float64."""
    import pandas as pd

    weights: np.ndarray = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        is_weight = (weights >= 0) & ~is_too_large(weights)
    wrong = np.flatnonzero(~is_weight)
    if len(wrong):
        cell = column.iloc[wrong[0]]
        found = "is empty" if pd.isna(cell) else f"is {cut(str(cell))}"
        raise DataError(
            f"{path}:{lines[wrong[0]]}: the weight in column {shown(column.name)} {found}: write a "
            "number of 0 or more that float32 can hold, or remove the row."
        )
    if not weights.any():
        raise DataError(
            f"{path}: every weight in column {shown(column.name)} is 0: correct the column, or "
            "remove data.dataset.weight."
        )
    return weights


def _targets(
    path: Path, targets: Sequence[pd.Series[Any]], spec: CsvFile
) -> tuple[np.ndarray, tuple[str, ...], str]:
    """The targets of each row, the classes of a single one, and the task as written or found."""
    names, task = target_names(spec), spec.task
    if len(targets) == 1:
        if task == "multilabel":
            raise DataError(
                f"{path}: data.dataset.task: multilabel needs several targets, and there is one: "
                "list the columns of labels in data.dataset.target."
            )
        return (*_classes_or_values(path, targets[0], task), task)
    if task in ("classification", "counts"):
        raise DataError(
            f"{path}: data.dataset.task: {task} has one target, and there are {len(targets)}: "
            "write multilabel, regression or auto, or name one column."
        )
    for target in targets:
        if target.dtype.kind not in "iufb":
            raise DataError(
                f"{path}: the target {shown(target.name)} is not a number everywhere (such as "
                f"{shown(_first_text(target))}), and {names} are targets together: write 0 and 1 "
                "for labels, or correct the file."
            )
    values = np.stack([target.to_numpy(np.float64) for target in targets], axis=1)
    are_labels = bool(((values == 0) | (values == 1)).all())
    if task == "multilabel" and not are_labels:
        raise DataError(
            f"{path}: data.dataset.task: multilabel has labels of 0 and 1, and {names} hold other "
            "numbers: write regression, or correct the file."
        )
    if task != "regression" and are_labels:
        return values.astype(np.float32), (), "multilabel"
    return values, (), "regression"


def _classes_or_values(
    path: Path, target: pd.Series[Any], task: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The index of each row's class and the sorted classes, or float64 values and no classes."""
    is_number = target.dtype.kind in "iuf"
    if task in ("regression", "counts") and not is_number:
        raise DataError(
            f"{path}: data.dataset.task: {task}: the target {shown(target.name)} is not a number "
            f"everywhere (such as {shown(_first_text(target))}): write classification, or correct "
            "the file."
        )
    labels = (target if is_number else target.astype(str)).to_numpy()
    values = _different(labels) if is_number else np.unique(labels)
    is_whole = is_number and bool((values == np.floor(values)).all())
    if task == "auto":
        is_regression = is_number and not (is_whole and len(values) <= MOST_NUMERIC_CLASSES)
    else:
        is_regression = task in ("regression", "counts")
    if is_regression:
        return target.to_numpy(np.float64), ()
    names = (str(int(value)) if is_whole else str(value) for value in values)
    return _positions(values, labels), tuple(names)


def _different(numbers: np.ndarray) -> np.ndarray:
    """The different numbers, sorted; takes the memory of one copy."""
    ordered: np.ndarray = np.sort(numbers)
    is_new: np.ndarray = np.append(True, ordered[1:] != ordered[:-1])
    return np.compress(is_new, ordered)


def _positions(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The position of each label in the sorted values, int32."""
    positions = np.empty(len(labels), np.int32)
    for start in range(0, len(labels), _PIECE_OF_ROWS):
        piece = slice(start, start + _PIECE_OF_ROWS)
        positions[piece] = np.searchsorted(values, labels[piece])
    return positions


def _check_counts(path: Path, target: pd.Series[Any], lines: Lines) -> None:
    values = target.to_numpy(np.float64)
    wrong = np.flatnonzero((values < 0) | (values != np.floor(values)))
    if len(wrong):
        raise DataError(
            f"{path}:{lines[wrong[0]]}: the target {shown(target.name)} is {values[wrong[0]]:g}, "
            "and counts are whole numbers from 0: correct it, or set data.dataset.task to "
            "regression."
        )


def _first_text(target: pd.Series[Any]) -> str:
    import pandas as pd

    is_text = pd.to_numeric(target, errors="coerce").isna()
    return str(target[is_text].iloc[0] if is_text.any() else target.iloc[0])
