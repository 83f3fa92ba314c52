"""Which rows train and validate in each fold: `data.folds`.

A fold is its rows to train on and its rows to validate on, both in the order of the source. Each
row validates in one fold at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hpo.data.split import before_gap, nearest
from hpo.errors import DataError
from hpo.spec.words import count_text


class Fold(NamedTuple):
    """The rows of a fold."""

    train: np.ndarray
    validation: np.ndarray


def random_folds(
    rows: np.ndarray, labels: np.ndarray | None, count: int, seed: int
) -> tuple[Fold, ...]:
    """Folds of these rows, drawn at random; the same for the same `seed`.

    With `labels` (indices of classes, one for each of `rows`) the rows of a class in two folds
    differ in number by one at most, as in scikit-learn's `StratifiedKFold`.

    Raises:
        DataError: if there are more folds than rows.
    """
    if count > len(rows):
        raise DataError(
            f"data.folds: {count} folds of {count_text(len(rows), 'row')}: write {len(rows)} or "
            "less."
        )
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(rows))
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    return _each_once(rows, [order[number::count] for number in range(count)])


def group_folds(rows: np.ndarray, groups: np.ndarray, count: int, seed: int) -> tuple[Fold, ...]:
    """Folds of these rows that keep groups whole; `groups` has the number of each row's group.

    The largest groups come first, each into the fold with the fewest rows so far, as in
    scikit-learn's `GroupKFold`. The seed decides among groups of equal size.

    Raises:
        DataError: if there are more folds than groups.
    """
    names, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if count > len(names):
        raise DataError(
            f"data.folds: {count} folds of {count_text(len(names), 'group')}: write {len(names)} "
            "or less."
        )
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(names))
    fold_of, filled = np.zeros(len(names), np.int64), np.zeros(count, np.int64)
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        fold_of[group] = filled.argmin()
        filled[fold_of[group]] += sizes[group]
    own = fold_of[numbers]
    return _each_once(rows, [np.flatnonzero(own == number) for number in range(count)])


def time_folds(
    rows: np.ndarray, times: np.ndarray, count: int, gap: int | np.timedelta64
) -> tuple[Fold, ...]:
    """Folds forward in time of these rows, which are in the order of their `times`.

    Each validates on the rows that follow those it trains on, as in scikit-learn's
    `TimeSeriesSplit`. Equal times are in one part. `gap` is left out between the two.

    Raises:
        DataError: if there are too few different times, or the gap leaves nothing to train on.
    """
    starts = np.flatnonzero(times[1:] != times[:-1]) + 1  # where another time begins
    size = len(rows) // (count + 1)
    ends = [len(rows)]
    for number in range(count):
        before = starts[starts < ends[0]]
        if not len(before) or not size:
            raise DataError(
                f"data.folds: {count} folds forward in time need {count + 1} parts, and the column "
                f"has {count_text(len(starts) + 1, 'different time')}: write fewer folds."
            )
        ends.insert(0, nearest(before, len(rows) - (number + 1) * size))
    found = []
    for start, end in pairwise(ends):
        train = rows[: before_gap(times, start, gap)]
        if not len(train):
            raise DataError(
                "data.split.gap: leaves the first of data.folds no rows to train on: make it "
                "smaller, or write fewer folds."
            )
        found.append(Fold(np.sort(train), np.sort(rows[start:end])))
    return tuple(found)


def _each_once(rows: np.ndarray, parts: Sequence[np.ndarray]) -> tuple[Fold, ...]:
    """Folds of which each validates on one of the parts, and trains on the others."""
    found = []
    for part in parts:
        trains = np.ones(len(rows), bool)
        trains[part] = False
        found.append(Fold(np.sort(rows[trains]), np.sort(rows[part])))
    return tuple(found)
