"""Columns of a table that hold or tell its target, and rows that repeat others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hpo.data.leaks import LEAST_THINGS, are_repeated_things, have_one_target_each
from hpo.data.overview.kinds import Cells
from hpo.data.overview.overview import Target

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 20_000
_LEAST_ROWS = 30
_MOST_COLUMNS = 1000
_COLUMNS_AT_ONCE = 1000
_ALIKE = 0.99995


def copies_of_target(
    frame: pd.DataFrame, columns: Sequence[Cells], target: Target
) -> Mapping[str, str]:
    """Why a column is the target in other words, by its name."""
    if len(target.names) > 1 or len(frame) < _LEAST_ROWS:
        return {}
    some = frame.iloc[:_ROWS]
    column = some[target.names[0]]
    if target.classes:
        return _renamed_classes(some, columns, target, column)
    return _in_other_units(some, columns, column)


def _renamed_classes(
    some: pd.DataFrame, columns: Sequence[Cells], target: Target, column: pd.Series
) -> Mapping[str, str]:
    """The columns with one value for each class."""
    codes = column.factorize()[0]
    found = {}
    alike = [cells for cells in columns if cells.distinct == len(target.classes) and not cells.gaps]
    for cells in alike[:_MOST_COLUMNS]:
        own = some[cells.name].factorize()[0]
        known = codes >= 0
        if len(np.unique(np.stack([codes[known], own[known]]), axis=1).T) == len(target.classes):
            found[cells.name] = "says the target in other words"
    return found


def _in_other_units(
    some: pd.DataFrame, columns: Sequence[Cells], column: pd.Series
) -> Mapping[str, str]:
    """The columns of numbers that rise with the target as one and the same quantity does."""
    y = column.to_numpy(np.float64, na_value=np.nan)
    names = [cells.name for cells in columns if cells.is_number and cells.distinct > 2]
    found = {}
    for start in range(0, len(names), _COLUMNS_AT_ONCE):
        part = names[start : start + _COLUMNS_AT_ONCE]
        x = some[part].to_numpy(np.float64, na_value=np.nan)
        known = ~np.isnan(x) & ~np.isnan(y)[:, np.newaxis]
        count = np.maximum(known.sum(axis=0), 1)
        with np.errstate(all="ignore"):
            x = np.where(known, x, 0.0)
            other = np.where(known, y[:, np.newaxis], 0.0)
            x = np.where(known, x - x.sum(axis=0) / count, 0.0)
            other = np.where(known, other - other.sum(axis=0) / count, 0.0)
            alike = (x * other).sum(axis=0) / np.sqrt((x**2).sum(axis=0) * (other**2).sum(axis=0))
        for name, value, rows in zip(part, alike, count, strict=True):
            if rows >= _LEAST_ROWS and abs(value) >= _ALIKE:
                found[name] = "is the target in another unit"
    return found


def repeated_rows(frame: pd.DataFrame, names: Sequence[str]) -> int:
    """How many rows of these columns repeat an earlier one; 0 where chance alone makes them."""
    used = list(names)[:_MOST_COLUMNS]
    ways = sum(math.log(max(1, frame[name].nunique())) for name in used[:50])
    if ways <= 2 * math.log(max(2, len(frame))):
        return 0
    return int(frame[used].duplicated().sum())


def with_one_target_each(
    frame: pd.DataFrame, columns: Sequence[Cells], target: Target
) -> Sequence[str]:
    """The columns of texts or whole numbers whose rows of a value all have the same target.

    Such a value may be a person or thing with several rows, which a random split puts on both
    sides. Whole numbers along which the target changes a few times are quantities instead.
    """
    if len(target.names) > 1:
        return []
    some = frame.iloc[:_ROWS]
    y = some[target.names[0]].factorize()[0]
    return [cells.name for cells in columns if _has_one_target_each(cells, some[cells.name], y)]


def that_tell_the_target(
    frame: pd.DataFrame, columns: Sequence[Cells], target: Target
) -> Sequence[str]:
    """The columns that alone tell the class of every row.

    Each of few categories has one class, or numbers have one up to a threshold and another above.
    """
    if not target.classes or len(target.names) > 1 or len(frame) < _LEAST_ROWS:
        return []
    some = frame.iloc[:_ROWS]
    y = some[target.names[0]].factorize()[0]
    return [cells.name for cells in columns if _tells(cells, some[cells.name], y)]


def _tells(cells: Cells, column: pd.Series, y: np.ndarray) -> bool:
    is_category = cells.kind in ("category", "boolean") and cells.distinct < LEAST_THINGS
    if cells.gaps or not (is_category or cells.kind in ("number", "whole")):
        return False
    things, names = column.factorize(sort=True)
    first = np.zeros(len(names), np.int64)
    first[things[::-1]] = y[::-1]
    changes = int((np.diff(first) != 0).sum())
    return bool((first[things] == y).all()) and (is_category or changes <= y.max())


def _has_one_target_each(cells: Cells, column: pd.Series, y: np.ndarray) -> bool:
    if cells.kind not in ("category", "whole") or cells.gaps:
        return False
    things, names = column.factorize(sort=True)
    if not are_repeated_things(len(names), len(things)) or (y < 0).any():
        return False
    return have_one_target_each(things, y, are_numbers=cells.kind == "whole")
