"""Rows for validation and test that a model has already met in training."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from hpo.data import mapped
from hpo.data.readers.tables.table import ISO_DATE
from hpo.data.source import Source
from hpo.spec.file.dump import value_text
from hpo.spec.sections.data import DataSpec, TableFile
from hpo.spec.words import shown

# Fewer repeated rows than this share of those that judge change no score by much.
_LEAST_SHARE = 0.01
# A column of this name tells people or things apart.
_IS_ID = re.compile(
    r"(?i:(.*[^a-z])?(id|uuid|guid))|.*[a-z]I[dD]|"
    r"(?i:(patient|subject|person|participant|respondent|customer|client|user|student|pupil|"
    r"household|speaker|donor)([ _.-]?(no|nr|num|number|code|name|key))?)"
)
LEAST_THINGS, _LEAST_ROWS_EACH = 10, 1.5  # fewer are categories
# How often chance may give each thing with several rows one target.
_CHANCE = 1e-6
# Whole numbers along which the target changes less often are quantities.
_LEAST_CHANGES = 10
_ROWS_TO_COMPARE, _COLUMNS_TO_COMPARE = 20_000, 1000
_IS_BIRTH = re.compile(r"(?i)birth|born|dob\b")
_LEAST_TIMES = 20
_ROWS_AT_ONCE = 1 << 16
_ROWS_TO_COUNT = 10_000
_HASHES_AT_ONCE = 1 << 22
# Constants of SplitMix64 (Steele et al. 2014), whose output bits depend on all input bits.
_GAMMA = 0x9E3779B97F4A7C15
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def leak_notes(spec: DataSpec, parts: Sequence[Source]) -> list[str]:
    """What makes the scores of a random split of a table look too good.

    `parts` are the rows that train, then those that judge.
    """
    if spec.split is not None or not isinstance(spec.dataset, TableFile):
        return []
    file = spec.dataset.path
    return [
        *repeated_rows_note(file, parts),
        *(shared_ids_note(file, parts) or known_targets_note(file, parts)),
        *mixed_times_note(file, parts),
    ]


def repeated_rows_note(name: str, parts: Sequence[Source]) -> list[str]:
    """That rows of a table are both in training and in a split that judges, if they tell on scores.

    `parts` are the rows that train, then those that judge. Nothing is said of tables whose few
    different values meet by chance.
    """
    train, *judging = (_row_hashes(part) for part in parts)
    total = sum(map(len, judging))
    repeated, alike = (
        sum(_count_in(part[:, place], train[:, place]) for part in judging) for place in (0, 1)
    )
    if alike < _LEAST_SHARE * total or not _is_no_chance(parts[0]):
        return []
    which = "all" if alike == repeated else f"{alike:,}"
    return [
        f"{name}: {repeated:,} of {total:,} rows for validation and test repeat a row that trains "
        f"({which} with its target), so scores look too good: write "
        "drop_rows: {duplicates: true} in data.dataset."
    ]


def _count_in(hashes: np.ndarray, known: np.ndarray) -> int:
    """How many hashes are among the known ones; some of them at a time."""
    parts = np.uint64(1 + (len(hashes) + len(known)) // _HASHES_AT_ONCE)
    return sum(
        int(np.isin(hashes[hashes % parts == part], known[known % parts == part]).sum())
        for part in range(int(parts))
    )


def shared_ids_note(name: str, parts: Sequence[Source]) -> list[str]:
    """That most rows that judge are of a person or thing of which other rows train.

    `parts` are the rows that train, then those that judge. A column such as `patient` or `user_id`
    is one of ids, if they repeat.
    """
    train, *judging = (_columns(part) for part in parts)
    for column in filter(_IS_ID.fullmatch, train):
        judged = np.concatenate([part[column] for part in judging])
        things = len(np.unique(np.concatenate([train[column], judged])))
        is_shared = np.isin(judged, train[column])
        rows = len(train[column]) + len(judged)
        if are_repeated_things(things, rows) and is_shared.mean() > 0.5:
            return [
                f"{name}: {int(is_shared.sum()):,} of {len(judged):,} rows for validation and test "
                f"have a {shown(column)} of rows that train: to judge by new ones, write split: "
                f"{{group: {column}}} in data; if it says nothing, list it in data.dataset.drop."
            ]
    return []


def known_targets_note(name: str, parts: Sequence[Source]) -> list[str]:
    """That most rows that judge can look up their target by a column, in rows that train.

    `parts` are the rows that train, then those that judge. The column names things with several
    rows, which all have the same target, whatever its name is.
    """
    rows = sum(map(len, parts))
    train, *judging = (
        part.take(slice(math.ceil(len(part) * min(1.0, _ROWS_TO_COMPARE / rows)))) for part in parts
    )
    if train.y.ndim > 1:
        return []
    y = np.unique(np.concatenate([train.y, *(part.y for part in judging)]), return_inverse=True)[1]
    columns = [_columns(part) for part in (train, *judging)]
    for column in [*columns[0]][:_COLUMNS_TO_COMPARE]:
        cells = np.concatenate([part[column] for part in columns])
        are_numbers = cells.dtype.kind == "f"
        if np.isnan(cells).any() if are_numbers else (cells < 0).any():
            continue
        if are_numbers and (cells != np.floor(cells)).any():
            continue
        names, things = np.unique(cells, return_inverse=True)
        if not are_repeated_things(len(names), len(things)):
            continue
        is_shared = np.isin(things[len(train) :], things[: len(train)])
        if is_shared.mean() > 0.5 and have_one_target_each(things, y, are_numbers=are_numbers):
            return [
                f"{name}: all rows of the same {shown(column)} have the same target, and most rows "
                "for validation and test share it with rows that train. To judge by new ones, "
                f"write split: {value_text({'group': column})} in data."
            ]
    return []


def mixed_times_note(name: str, parts: Sequence[Source]) -> list[str]:
    """That most rows that judge are older than rows that train, by a column of dates.

    `parts` are the rows that train, then those that judge. Dates of birth say nothing of when.
    """
    train, *judging = (_dates(part) for part in parts)
    for column in train:
        if _IS_BIRTH.search(column):
            continue
        trained = train[column][~np.isnan(train[column])]
        judged = np.concatenate([part[column] for part in judging])
        judged = judged[~np.isnan(judged)]
        if not len(judged) or len(np.unique(trained)) < _LEAST_TIMES:
            continue
        older = int((judged < trained.max()).sum())
        if 2 * older > len(judged):
            return [
                f"{name}: times are mixed: {older:,} of {len(judged):,} rows for validation and "
                f"test have a {shown(column)} before that of rows that train. To judge by the "
                f"latest rows, write split: {{time: {value_text(column)}}} in data."
            ]
    return []


def is_id_name(name: str) -> bool:
    """Whether a column of this name tells people or things apart."""
    return _IS_ID.fullmatch(name) is not None


def are_repeated_things(things: int, rows: int) -> bool:
    """Whether this many different values in `rows` rows are things with several rows each."""
    return things >= LEAST_THINGS and rows / things >= _LEAST_ROWS_EACH


def have_one_target_each(things: np.ndarray, y: np.ndarray, *, are_numbers: bool) -> bool:
    """Whether all rows of a thing have the same target, by more than chance.

    `things` and `y` are the places of things and targets in sorted order, all of which occur. Whole
    numbers along which the target changes a few times are quantities.
    """
    counts = np.bincount(things)
    first = np.zeros(len(counts), np.int64)
    first[things[::-1]] = y[::-1]
    if (first[things] != y).any():
        return False
    if are_numbers and (np.diff(first) != 0).sum() < _LEAST_CHANGES:
        return False
    shares = np.bincount(y) / len(y)
    rows, times = np.unique(counts, return_counts=True)
    by_chance = sum(
        count * math.log((shares**n).sum()) for n, count in zip(rows, times, strict=True)
    )
    return bool(by_chance < math.log(_CHANCE))


def _columns(source: Source) -> dict[str, np.ndarray]:
    """The columns of a table by their names in the file."""
    found = dict(zip(source.names, source.x.T, strict=False))
    if source.categories is not None:
        found |= dict(zip(source.text_names, source.categories.T, strict=False))
    return found


def _dates(source: Source) -> dict[str, np.ndarray]:
    """The columns of dates by their names: days, NaN where a cell is empty.

    A column that is read as dates has a feature for each part, of which the first one is days. One
    that is read as categories has the texts of dates as its values, whose order is that of time.
    """
    parts = Counter(source.names)
    found = {name: source.x[:, source.names.index(name)] for name in parts if parts[name] >= 5}
    if source.categories is not None:
        texts = zip(source.text_names, source.values, source.categories.T, strict=True)
        for name, values, codes in texts:
            if len(values) and all(map(ISO_DATE.fullmatch, values)):
                found[name] = np.where(codes < 0, np.nan, codes)
    return found


def _row_hashes(source: Source) -> np.ndarray:
    """A hash of each row's features, and one of features and target, uint64 `[N, 2]`."""
    found = mapped.empty((len(source), 2), np.uint64)
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
    """Whether features and target combine in more ways than there are pairs of rows."""
    some = source.take(slice(_ROWS_TO_COUNT))
    columns = [*some.x.T, *some.y.reshape(len(some), -1).T]
    columns += [] if some.categories is None else [*some.categories.T]
    ways = sum(math.log(len(np.unique(column))) for column in columns)
    return ways > 2 * math.log(len(source))
