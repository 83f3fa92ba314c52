"""Rows for validation and test that a model has already met in training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hpo.data.source import Source

# Fewer repeated rows than this share of those that judge change no score by much.
_LEAST_SHARE = 0.01
_ROWS_AT_ONCE = 1 << 16
_ROWS_TO_COUNT = 10_000
# Constants of SplitMix64 (Steele et al. 2014), whose output bits depend on all input bits.
_GAMMA = 0x9E3779B97F4A7C15
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def repeated_rows_note(name: str, parts: Sequence[Source]) -> list[str]:
    """That rows of a table are both in training and in a split that judges, if they tell on scores.

    `parts` are the rows that train, then those that judge. Nothing is said of tables whose few
    different values meet by chance.
    """
    train, *judging = (_row_hashes(part) for part in parts)
    total = sum(map(len, judging))
    repeated, alike = (
        sum(int(np.isin(part[:, place], train[:, place]).sum()) for part in judging)
        for place in (0, 1)
    )
    if alike < _LEAST_SHARE * total or not _is_no_chance(parts[0]):
        return []
    which = "all" if alike == repeated else f"{alike:,}"
    return [
        f"{name}: {repeated:,} of {total:,} rows for validation and test repeat a row that trains "
        f"({which} with its target), so scores look too good: write "
        "drop_rows: {duplicates: true} in data.dataset."
    ]


def _row_hashes(source: Source) -> np.ndarray:
    """A hash of each row's features, and one of features and target, uint64 `[N, 2]`."""
    found = np.empty((len(source), 2), np.uint64)
    for start in range(0, len(source), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        features, place = _mixed(source.x[rows], 0), source.x.shape[1]
        if source.categories is not None:
            features += _mixed(source.categories[rows], place)
            place += source.categories.shape[1]
        targets = source.y[rows].reshape(len(features), -1)  # one or several
        found[rows, 0], found[rows, 1] = features, features + _mixed(targets, place)
    return found


def _mixed(values: np.ndarray, first: int) -> np.ndarray:
    """The sum of a hash of each cell of a row, in which the number of the column counts."""
    total = np.zeros(len(values), np.uint64)
    for place, column in enumerate(values.T):
        # 0.0 for -0.0, and the same bits for every NaN.
        cells = np.where(np.isnan(column), np.nan, column + np.float64(0)).view(np.uint64)
        cells += np.uint64((first + place + 1) * _GAMMA % 2**64)
        cells = (cells ^ (cells >> np.uint64(30))) * _MIX_1
        cells = (cells ^ (cells >> np.uint64(27))) * _MIX_2
        total += cells ^ (cells >> np.uint64(31))
    return total


def _is_no_chance(source: Source) -> bool:
    """Whether the values of the columns combine in more ways than there are pairs of rows."""
    some = source.take(slice(_ROWS_TO_COUNT))
    columns = [*some.x.T, *(() if some.categories is None else some.categories.T)]
    ways = sum(math.log(len(np.unique(column))) for column in columns)
    return ways > 2 * math.log(len(source))
