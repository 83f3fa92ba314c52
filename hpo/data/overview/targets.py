"""Which column of a table is to be predicted, and what task that is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.overview.kinds import Cells
from hpo.data.overview.overview import Target
from hpo.data.readers.tables.table import listed
from hpo.errors import DataError
from hpo.spec.sections.data import Task
from hpo.spec.words import shown, unknown_name

if TYPE_CHECKING:
    import pandas as pd

USUAL_NAMES = ("target", "label", "class", "y", "outcome", "response", "labels", "classes")
# Words in the name of a target, where one column alone has such a name.
_TARGET_WORDS = frozenset(
    (
        *("target", "label", "class", "outcome", "response", "price", "survived", "churn"),
        *("churned", "default", "diagnosis", "species", "sentiment", "quality", "salary"),
        *("fraud", "charges", "mpg", "rings", "cnt", "value", "result", "approved", "diabetes"),
    )
)
# Names of several targets, such as label_1 and target_b.
_SEVERAL = re.compile(r"(?i)(target|label|class|tag|y)[_. ]?\w{1,12}")
_CLASS_WORDS = frozenset(
    (
        *("class", "classes", "label", "labels", "type", "kind", "species", "category", "group"),
        *("segment", "cluster", "diagnosis", "stage"),
    )
)
_QUANTITY_WORDS = frozenset(
    (
        *("price", "cost", "amount", "value", "rating", "score", "quality", "age", "rings"),
        *("sales", "demand", "temperature", "temp", "weight", "height", "income", "salary"),
        *("duration", "days", "hours", "minutes", "years", "points", "stars", "mpg", "load"),
        *("yield", "sold"),
    )
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_COUNT_NAME = re.compile(r"(?i)(count|counts|cnt|n|num|number)([_. ].*)?|.*[_. ](count|counts|cnt)")
MOST_CLASSES = 20
_MOST_LABELS = 200
_FEW_ROWS = 5


def find_target(frame: pd.DataFrame, columns: Sequence[Cells], asked: Sequence[str]) -> Target:
    """The target that is asked for, or the likeliest one.

    Raises:
        DataError: for a column that is not there, or one that tells nothing.
    """
    known = {cells.name: cells for cells in columns}
    for name in asked:
        if name not in known:
            raise DataError(f"--target: {unknown_name(name, known, 'column')}")
    names, why = (tuple(asked), "as asked") if asked else _likeliest(columns)
    for name in names:
        if known[name].distinct < 2:
            value = f"is {shown(known[name].example)} in every row" if known[name].distinct else ""
            raise DataError(
                f"the target {shown(name)} {value or 'has no value'}: there is nothing to learn. "
                "Name another column with --target."
            )
    if len(names) > 1:
        return _several(frame, known, names, why)
    task, why_task, classes = _task(frame[names[0]], known[names[0]])
    if sum(rows == 1 for rows in classes.values()) > max(_FEW_ROWS, len(frame) / 4):
        raise DataError(
            f"the target {shown(names[0])} has another text in many rows, such as "
            f"{shown(next(iter(classes)))}: name another column with --target, or write numbers."
        )
    return Target(names, task, why, why_task, classes)


def _likeliest(columns: Sequence[Cells]) -> tuple[tuple[str, ...], str]:
    names = {cells.name.strip().casefold(): cells.name for cells in columns}
    for usual in USUAL_NAMES:
        if usual in names:
            return (names[usual],), "by its name"
    several = [cells for cells in columns if _SEVERAL.fullmatch(cells.name)]
    stems = {_SEVERAL.fullmatch(cells.name)[1].casefold() for cells in several}  # type: ignore[index]
    if len(several) > 1 and len(stems) == 1 and all(cells.is_number for cells in several):
        return tuple(cells.name for cells in several), "by their names"
    named = [cells for cells in columns if _has_name_of_target(cells)]
    if len(named) == 1:
        return (named[0].name,), "by its name"
    first, last = columns[0], columns[-1]
    if first.name == "column_1" and _orders_classes(first) and not _is_class_like(last):
        return (first.name,), "the first column, by whose values the rows are ordered"
    for cells in reversed(columns):
        is_many = cells.kind == "category" and cells.distinct > _MOST_LABELS
        if cells.kind not in ("empty", "date", "text") and cells.distinct > 1 and not is_many:
            place = "the last column" if cells is last else "the last column that can be one"
            return (cells.name,), place
    return (last.name,), "the last column"


def _has_name_of_target(cells: Cells) -> bool:
    words = _WORD.findall(cells.name)
    return cells.distinct > 1 and bool(words) and words[-1].casefold() in _TARGET_WORDS


def _is_class_like(cells: Cells) -> bool:
    few = 2 <= cells.distinct <= MOST_CLASSES
    return few and cells.kind in ("whole", "category", "boolean")


def _orders_classes(cells: Cells) -> bool:
    """Whether a column holds classes by which the rows are ordered."""
    return _is_class_like(cells) and cells.low in (0, 1) and (cells.rises or cells.falls)


def _several(
    frame: pd.DataFrame, known: Mapping[str, Cells], names: tuple[str, ...], why: str
) -> Target:
    texts = [name for name in names if not known[name].is_number]
    if texts:
        raise DataError(
            f"the targets {listed([shown(name) for name in names])} are several, and "
            f"{shown(texts[0])} is not a number everywhere: write 0 and 1 for labels."
        )
    values = frame[[*names]].to_numpy(np.float64, na_value=np.nan)
    values = values[~np.isnan(values).any(axis=1)]
    if ((values == 0) | (values == 1)).all():
        counts = dict(zip(names, values.sum(axis=0).astype(int).tolist(), strict=True))
        return Target(names, "multilabel", why, "several columns of 0 and 1", counts)
    return Target(names, "regression", why, "several columns of numbers")


def _task(column: pd.Series[Any], cells: Cells) -> tuple[Task, str, dict[str, int]]:
    """The task of a single target, why, and the rows of each class."""
    present = column.dropna()
    if not cells.is_number:
        return "classification", f"{cells.distinct} different texts", _counts(present)
    if cells.kind == "number":
        return "regression", "numbers with fractions", {}
    if cells.distinct == 2:
        return "classification", "two different numbers", _counts(present)
    counts = present.value_counts().sort_index()
    values, rows = counts.index.to_numpy(np.float64), counts.to_numpy()
    words = {word.casefold() for word in _WORD.findall(cells.name)}
    is_class_name, is_quantity_name = (
        bool(words & some) for some in (_CLASS_WORDS, _QUANTITY_WORDS)
    )
    few = f"{cells.distinct:,} different whole numbers"
    if _COUNT_NAME.fullmatch(cells.name) and cells.low >= 0:
        return "counts", f"{few} from 0 on in a column of counts", {}
    if cells.distinct > MOST_CLASSES:
        if _are_codes(values, rows, is_class_name=is_class_name):
            reason = f"{cells.distinct} codes, all about as frequent"
            return "classification", reason, _counts(present)
        return "regression", few, {}
    if is_class_name:
        return "classification", f"{few}, and the name of a class", _counts(present)
    if is_quantity_name:
        return "regression", f"{few}, and the name of a quantity", {}
    if _is_hill(values, rows):
        return "regression", f"{few}, the middle ones most frequent", {}
    if _are_measured(values):
        return "regression", f"{few}, too large for codes", {}
    return "classification", few, _counts(present)


def _are_codes(values: np.ndarray, rows: np.ndarray, *, is_class_name: bool) -> bool:
    """Whether many whole numbers number classes: from 0 or 1 on, with rows enough each."""
    is_counted = values[0] in (0, 1) and values[-1] - values[0] == len(values) - 1
    is_even = rows.min() * 3 >= rows.max() and rows.min() >= 5
    return bool(
        len(values) <= 1000 and is_counted and (is_even or (is_class_name and rows.min() > 1))
    )


def _is_hill(values: np.ndarray, rows: np.ndarray) -> bool:
    """Whether values in a row become more frequent up to one of the middle, then less."""
    if len(values) < 5 or (np.diff(values) != np.diff(values)[0]).any():
        return False
    peak = int(rows.argmax())
    return bool(
        0 < peak < len(rows) - 1
        and (np.diff(rows[: peak + 1]) >= 0).all()
        and (np.diff(rows[peak:]) <= 0).all()
        and rows[peak] >= 3 * min(rows[0], rows[-1])
    )


def _are_measured(values: np.ndarray) -> bool:
    """Whether whole numbers are too large and too far from each other for codes of classes."""
    return len(values) >= 5 and float(values[-1]) > 5 * MOST_CLASSES


def _counts(present: pd.Series[Any]) -> dict[str, int]:
    found = present.value_counts()
    is_whole = present.dtype.kind in "iuf" and bool((present == np.floor(present)).all())
    return {
        (str(int(value)) if is_whole else str(value)): int(rows)
        for value, rows in zip(found.index.tolist(), found.tolist(), strict=True)
    }
