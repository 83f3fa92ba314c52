"""Examples from the columns of a table, whatever file they come from.

Targets, weights, the column of `data.split`, rows that are left out, and the types of the columns
are the same for every format.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.dataset import SPLITS
from hpo.data.files import used_splits
from hpo.data.mapped import empty, is_large, taken
from hpo.data.readers.tables.columns import any_too_large, is_too_large, typed_columns
from hpo.data.readers.tables.lines import Rows
from hpo.data.readers.tables.numbers import marks_hint
from hpo.data.readers.tables.split_column import read_split_column
from hpo.data.readers.tables.table import (
    MOST_NUMERIC_CLASSES,
    huge_target,
    no_features,
    no_target,
    target_names,
)
from hpo.data.source import Source
from hpo.errors import DataError, cut
from hpo.spec.sections.data import DataSpec, TableFile
from hpo.spec.sections.split import column_of
from hpo.spec.words import count_text, shown

if TYPE_CHECKING:
    import pandas as pd

_PIECE_OF_ROWS = 1 << 18


@dataclass(frozen=True, eq=False)
class Table:
    """The columns of a table as a reader gives them, and where each row lies.

    A column is numbers (NaN in empty cells), booleans, or texts (None or NaN in empty cells). The
    file itself says the types of the columns in `typed`, so a text in them is never a mistake.
    """

    path: Path
    frame: pd.DataFrame
    rows: Rows
    notes: tuple[str, ...] = ()
    typed: frozenset[str] = frozenset()
    # The place of each row's split in `SPLITS`, rising, where the splits are files of their own.
    places: np.ndarray | None = None


def same_texts() -> AbstractContextManager[None]:
    """Lets pandas hold texts alike on every machine, whether there is pyarrow or not."""
    import pandas as pd  # takes half a second to import

    context: AbstractContextManager[None] = pd.option_context("mode.string_storage", "python")
    return context


def examples_of(table: Table, section: DataSpec) -> Source:
    """The examples of a table, as `data.dataset`, `data.split` and `data.columns` ask.

    With `task: auto` the target is read as classes if it is text, or has at most
    `MOST_NUMERIC_CLASSES` different values that are whole numbers. Else it is a quantity.

    Raises:
        DataError: if the table is unfit; the message gives the row if one is at fault.
    """
    assert isinstance(section.dataset, TableFile)
    spec, split, columns = section.dataset, section.split, section.columns
    others = no_features(spec, split, columns)
    if spec.drop_rows.missing_target:
        table = _with_target(table, spec)
    if spec.drop_rows.duplicates:
        compared = [name for name in table.frame if name in spec.targets or name not in others]
        table = _without_repeated(table, compared, spec)
    if spec.drop_rows.rare_classes > 1:
        table = _without_rare(table, spec)
    path, frame, rows = table.path, table.frame, table.rows
    targets = [_checked_target(path, frame[name], rows) for name in spec.targets]
    weight = None if spec.weight is None else read_weights(path, frame[spec.weight], rows)
    by = None if split is None else read_split_column(split, frame[column_of(split)], rows)
    typed = typed_columns(
        path, frame.drop(columns=[*others], errors="ignore"), rows, columns, are_typed=table.typed
    )
    notes, places = table.notes, table.places
    del frame, table  # `typed` holds what is needed of them
    y, classes, task = _targets(path, targets, spec)
    if task == "counts":
        _check_counts(targets[0], rows)
    source = Source(
        x=typed.x,
        y=y,
        target=f"{path}: target {target_names(spec)}",
        classes=classes,
        categories=typed.categories,
        names=typed.names,
        parts=typed.parts,
        text_names=typed.text_names,
        values=typed.values,
        weight=weight,
        split_by=by,
        is_count=task == "counts",
        is_multilabel=task == "multilabel",
        notes=(*notes, *typed.notes),
    )
    return source if places is None else _with_own_splits(source, places)


def split_paths(path: Path, section: DataSpec) -> list[Path | None]:
    """The file of each split, as in `SPLITS`; that of the test is None where none is asked for."""
    own = used_splits(section)
    return [path, *(Path(own[name]) if name in own else None for name in SPLITS[1:])]


def check_columns(
    first: Path, names: Sequence[str], other: Path, other_names: Sequence[str]
) -> None:
    """Refuse files of one table whose columns differ.

    Raises:
        DataError: for the first column that one of them lacks.
    """
    lacks, has = set(other_names), set(names)
    lacking = next(((other, name, first) for name in names if name not in lacks), None)
    more = next(((first, name, other) for name in other_names if name not in has), None)
    if lacking or more:
        where, name, has_it = lacking or more or (first, "", other)
        raise DataError(
            f"{where}: has no column {shown(name)}, which {has_it} has: give all files the same "
            "columns."
        )


def _with_own_splits(source: Source, places: np.ndarray) -> Source:
    """The rows that train, with those of the other splits."""
    ends = np.searchsorted(places, [0, 1, 2, 3]).tolist()
    train, validation, test = (
        source.take(slice(start, end)) if end > start else None for start, end in pairwise(ends)
    )
    if train is None:
        raise DataError(f"{source.target}: no row is left to train on: give another file.")
    return replace(train, validation=validation, test=test)


def _with_target(table: Table, spec: TableFile) -> Table:
    """The rows that have a target; a note says how many have none."""
    is_kept = table.frame[[*spec.targets]].notna().all(axis=1).to_numpy()
    dropped = int((~is_kept).sum())
    if dropped == len(table.frame):
        raise DataError(
            f"{table.path}: no row has a value in the target column {target_names(spec)}: correct "
            "data.dataset.missing, or name another data.dataset.target."
        )
    rows = "1 row without a target is" if dropped == 1 else f"{dropped:,} rows without a target are"
    return _kept(table, is_kept, f"{spec.path}: {rows} left out.")


def _without_rare(table: Table, spec: TableFile) -> Table:
    """The rows whose class has as many rows as is asked; a note says how many have not.

    Raises:
        DataError: for a target that is no class, or if no class has as many.
    """
    least = spec.drop_rows.rare_classes
    where = f"{table.path}: data.dataset.drop_rows.rare_classes"
    if len(spec.targets) > 1 or spec.task != "classification":
        raise DataError(f"{where}: is for a single target of classes: write task: classification.")
    target = table.frame[spec.targets[0]]
    codes = target.factorize()[0]  # -1 in an empty cell, which is of no class
    is_rare = (codes >= 0) & (np.bincount(codes + 1)[codes + 1] < least)
    if is_rare.all():
        raise DataError(f"{where}: no class has {least} rows: write a smaller number.")
    dropped = int(is_rare.sum())
    classes = target[is_rare].nunique()
    rare = "a rare class" if classes == 1 else f"{classes:,} rare classes"
    verb = "is" if dropped == 1 else "are"
    note = f"{spec.path}: {count_text(dropped, 'row')} of {rare} {verb} left out."
    return _kept(table, ~is_rare, note)


def _without_repeated(table: Table, compared: list[str], spec: TableFile) -> Table:
    """The rows whose cells in the compared columns no earlier row has."""
    is_kept = ~table.frame.duplicated(subset=compared).to_numpy()
    repeated = int((~is_kept).sum())
    rows = "1 row that repeats an earlier one is"
    if repeated > 1:
        rows = f"{repeated:,} rows that repeat earlier ones are"
    return _kept(table, is_kept, f"{spec.path}: {rows} left out.")


def _kept(table: Table, is_kept: np.ndarray, note: str) -> Table:
    """The kept rows alone, with the note; the table itself where all are."""
    if is_kept.all():
        return table
    return replace(
        table,
        frame=_kept_rows(table.frame, is_kept),
        rows=table.rows.where(is_kept),
        places=None if table.places is None else table.places[is_kept],
        notes=(*table.notes, note),
    )


def _kept_rows(frame: pd.DataFrame, is_kept: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    if not is_large(8 * frame.shape[0] * frame.shape[1]):
        return frame[is_kept].reset_index(drop=True)
    rows, found = np.flatnonzero(is_kept), dict[str, Any]()
    for name, column in frame.items():
        if column.dtype == "category":
            codes = taken(column.cat.codes.to_numpy(), rows)
            found[str(name)] = pd.Categorical.from_codes(codes, dtype=column.dtype)
        else:
            found[str(name)] = taken(column.to_numpy(), rows)
    return pd.DataFrame(found, copy=False)


def _checked_target(path: Path, target: pd.Series[Any], rows: Rows) -> pd.Series[Any]:
    empty = np.flatnonzero(target.isna())
    if len(empty):
        text = no_target(len(empty), str(target.name))
        raise DataError(f"{rows[empty[0]]}: {text}")
    if target.dtype.kind == "f" and any_too_large(values := target.to_numpy()):
        row = np.flatnonzero(is_too_large(values))[0]
        raise DataError(f"{rows[row]}: {huge_target(str(target.name))}")
    if (target == target.iloc[0]).all():
        raise DataError(
            f"{path}: the target {shown(target.name)} is {shown(target.iloc[0])} in every row: "
            "there is nothing to learn. Choose another data.dataset.target."
        )
    return target


def read_weights(path: Path, column: pd.Series[Any], rows: Rows) -> np.ndarray:
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
            f"{rows[wrong[0]]}: the weight in column {shown(column.name)} {found}: write a "
            "number of 0 or more that float32 can hold, or remove the row."
        )
    if not weights.any():
        raise DataError(
            f"{path}: every weight in column {shown(column.name)} is 0: correct the column, or "
            "remove data.dataset.weight."
        )
    return weights


def _targets(
    path: Path, targets: Sequence[pd.Series[Any]], spec: TableFile
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
        text = _first_text(target)
        raise DataError(
            f"{path}: data.dataset.task: {task}: the target {shown(target.name)} is not a number "
            f"everywhere (such as {shown(text)}): write classification, or correct the file."
            f"{marks_hint(text)}"
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
    ordered = empty(len(numbers), numbers.dtype)
    ordered[:] = numbers
    ordered.sort()
    is_new: np.ndarray = np.append(True, ordered[1:] != ordered[:-1])
    return np.compress(is_new, ordered)


def _positions(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The position of each label in the sorted values, int32."""
    positions = np.empty(len(labels), np.int32)
    for start in range(0, len(labels), _PIECE_OF_ROWS):
        piece = slice(start, start + _PIECE_OF_ROWS)
        positions[piece] = np.searchsorted(values, labels[piece])
    return positions


def _check_counts(target: pd.Series[Any], rows: Rows) -> None:
    values = target.to_numpy(np.float64)
    wrong = np.flatnonzero((values < 0) | (values != np.floor(values)))
    if len(wrong):
        raise DataError(
            f"{rows[wrong[0]]}: the target {shown(target.name)} is {values[wrong[0]]:g}, "
            "and counts are whole numbers from 0: correct it, or set data.dataset.task to "
            "regression."
        )


def _first_text(target: pd.Series[Any]) -> str:
    import pandas as pd

    is_text = pd.to_numeric(target, errors="coerce").isna()
    return str(target[is_text].iloc[0] if is_text.any() else target.iloc[0])
