"""Which rows train, validate and test.

The test split is a share or a count of all rows. `data.rows`, if given, limits the rows that are
left. The validation split is a share of `data.rows` (of all rows if not given), or a count. Shares
are rounded to the nearest row, and met as nearly as whole groups or equal times allow. Where rows
are drawn one by one, classes keep their shares in every split.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpo.data import mapped
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec
from hpo.spec.sections.search import duration_seconds
from hpo.spec.sections.split import TimeSplit
from hpo.spec.words import count_text, shown

_AUTO_TEST_SHARE = 0.2


class SplitSizes(NamedTuple):
    """The number of rows of each split, and of those that `data.rows` leaves out."""

    train: int
    validation: int
    test: int
    left_out: int


class SplitRows(NamedTuple):
    """The rows of each split, in the order of the source."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_sizes(
    spec: DataSpec,
    rows: int,
    *,
    has_own_test: bool,
    classes: int,
    has_own_validation: bool = False,
) -> SplitSizes:
    """The sizes of the splits of `rows` rows; `classes` is 0 for a regression.

    A split that the data have of their own takes none of the rows.

    Raises:
        DataError: if a split would be empty, there are too few rows, or the training split holds
            fewer rows than there are classes.
    """
    test = _test_rows(spec, rows, has_own_test)
    left = rows - test
    if spec.rows is not None and spec.rows > left:
        beside = " beside the test split" if test else ""
        raise DataError(
            f"data.rows: {spec.rows} is more than the {left} rows there are{beside}: "
            f"write {left} or less, or remove data.rows to use them all."
        )
    used = left if spec.rows is None else spec.rows
    validation = 0
    if spec.folds is None and not has_own_validation:
        whole = rows if spec.rows is None else spec.rows
        validation = _count("validation", spec.validation, whole)
    if validation == 0 and spec.folds is None and not has_own_validation:
        raise DataError(
            "data.validation: 0 leaves no rows to compare trials on: write a share such as 0.2, "
            "or a count."
        )
    train = used - validation
    if train < max(classes, 1):
        wanted = f"one for each of the {classes} classes" if classes else "any"
        raise DataError(
            f"data.validation: {spec.validation} leaves {max(train, 0)} of {used} rows to train "
            f"on, too few to have {wanted}: make data.validation or data.test smaller."
        )
    return SplitSizes(train, validation, test, left - used)


def split_rows(sizes: SplitSizes, labels: np.ndarray | None, seed: int) -> SplitRows:
    """Random rows for each split, the same for the same `seed`.

    With `labels` (indices of classes, `[N]`) each class has its share of the validation and test
    splits, to within one row. Every class keeps at least one row to train on.

    Raises:
        ValueError: if there are fewer training rows than classes.
    """
    order = mapped.empty(sum(sizes), np.int64)
    order[:] = np.arange(len(order))
    np.random.Generator(np.random.Philox(seed)).shuffle(order)
    # A regression is split as a single class.
    by_class = order if labels is None else _by_class(order, labels)
    counts = np.array([len(order)]) if labels is None else np.bincount(labels)
    starts = np.cumsum(counts) - counts
    drawn = []
    for size in (sizes.test, sizes.left_out, sizes.validation):
        ends = starts + _allot(size, counts, np.maximum(np.cumsum(counts) - starts - 1, 0))
        drawn.append(_ranges(by_class, starts, ends))
        starts = ends
    test, _, validation = drawn
    return SplitRows(_ranges(by_class, starts, np.cumsum(counts)), validation, test)


def _by_class(order: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The rows of each class after those of the class before, in their order within each."""
    found = mapped.empty(len(order), order.dtype)
    ends = np.cumsum(np.bincount(labels))
    starts = ends - np.bincount(labels)
    step = mapped.rows_at_once(order)
    for start in range(0, len(order), step):
        rows = order[start : start + step]
        own = labels[rows]
        rows, own = rows[np.argsort(own, kind="stable")], np.sort(own)
        different, first = np.unique(own, return_index=True)
        for one, some in zip(different, np.split(rows, first[1:]), strict=True):
            found[starts[one] : starts[one] + len(some)] = some
            starts[one] += len(some)
    return found


def split_groups(sizes: SplitSizes, groups: np.ndarray, seed: int) -> SplitRows:
    """Random groups for each split, the same for the same `seed`; `groups` has each row's number.

    The rows of a split differ from its size by at most half the largest group. Where every group is
    larger than twice the size, the split gets the smallest one.

    Raises:
        DataError: if there are fewer groups than splits.
    """
    counts = np.bincount(groups)
    wanted = 2 + (sizes.test > 0)
    if len(counts) < wanted:
        raise _too_few("group", count_text(len(counts), "group"), sizes)
    left = [*np.random.Generator(np.random.Philox(seed)).permutation(len(counts)).tolist()]
    drawn = {}
    for name, others in (("test", 2), ("left_out", 2), ("validation", 1)):
        found: list[int] = []
        lacking = getattr(sizes, name)
        for group in left:
            if counts[group] <= 2 * lacking and len(left) - len(found) > others:
                found.append(group)
                lacking -= counts[group]
        if not found and lacking and name != "left_out":
            found = [min(left, key=lambda group: counts[group])]
        taken = {*found}
        left = [group for group in left if group not in taken]
        drawn[name] = np.flatnonzero(np.isin(groups, found))
    return SplitRows(np.flatnonzero(np.isin(groups, left)), drawn["validation"], drawn["test"])


def split_times(sizes: SplitSizes, times: np.ndarray, gap: int | np.timedelta64) -> SplitRows:
    """The latest rows for the test, those before them for validation, the earliest to train on.

    Equal times are in one split: it begins at the time that meets its size most nearly. `gap` is
    left out before validation and before the test: a number of rows, or all rows at most that much
    earlier. Where `data.rows` limits the rows, the earliest ones are left out.

    Raises:
        DataError: if there are fewer times than splits, or the gap leaves nothing of one.
    """
    order, ordered, starts, test = _in_time(sizes, times)
    validation = nearest(starts[starts < test], test - sizes.validation)
    first = max(0, validation - sizes.train) if sizes.left_out else 0
    train = order[first : before_gap(ordered, validation, gap)]
    judged = order[validation : before_gap(ordered, test, gap)]
    for verb, rows in (("train", train), ("validate", judged)):
        if not len(rows):
            raise DataError(f"data.split.gap: leaves no rows to {verb} on: make it smaller.")
    return SplitRows(np.sort(train), np.sort(judged), np.sort(order[test:]))


def before_test(
    sizes: SplitSizes, times: np.ndarray, gap: int | np.timedelta64
) -> tuple[np.ndarray, np.ndarray]:
    """The rows before the test and its gap, in the order of their times, and those of the test.

    Raises:
        DataError: if there are too few times, or the gap leaves no rows.
    """
    order, ordered, _, test = _in_time(sizes, times)
    before = order[max(0, test - sizes.train) : before_gap(ordered, test, gap)]
    if not len(before):
        raise DataError("data.split.gap: leaves no rows to train on: make it smaller.")
    return before, np.sort(order[test:])


def _in_time(
    sizes: SplitSizes, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """The rows by time, their times, where another time begins, and where the test does."""
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    starts = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    if len(starts) + 1 < 2 + (sizes.test > 0):
        raise _too_few("time", count_text(len(starts) + 1, "different time"), sizes)
    test = nearest(starts[1:], len(order) - sizes.test) if sizes.test else len(order)
    return order, ordered, starts, test


def nearest(starts: np.ndarray, wanted: int) -> int:
    """The start that is nearest to a row."""
    return int(starts[np.abs(starts - wanted).argmin()])


def before_gap(ordered: np.ndarray, start: int, gap: int | np.timedelta64) -> int:
    """The end of the rows that lie further than `gap` before the row `start`."""
    if start == len(ordered):
        return start
    if isinstance(gap, int):
        return max(0, start - gap)
    if not gap:
        return start
    return int(np.searchsorted(ordered, ordered[start] - gap))


def gap_of(split: TimeSplit, times: np.ndarray) -> int | np.timedelta64:
    """The gap in rows, or as a duration of the column's dates.

    Raises:
        DataError: for a duration where the column holds numbers.
    """
    if isinstance(split.gap, int):
        return split.gap
    if times.dtype.kind != "M":
        raise DataError(
            f"data.split.gap: {split.gap} is a duration, and column {shown(split.time)} holds "
            "numbers: write a number of rows."
        )
    # One that is too long for 64 bits leaves no row, as any that is longer than the times does.
    return np.timedelta64(round(min(1e6 * duration_seconds(split.gap), 2.0**62)), "us")


def _too_few(key: str, found: str, sizes: SplitSizes) -> DataError:
    test, cure = ("", "") if not sizes.test else (", validation and test", ", set data.test to 0")
    splits = f"training{test}" if test else "training and validation"
    return DataError(
        f"data.split.{key}: the column has {found}, and {splits} need one each: name another "
        f"column{cure} or remove data.split."
    )


def _test_rows(spec: DataSpec, rows: int, has_own_test: bool) -> int:
    if not has_own_test:
        return _count("test", _AUTO_TEST_SHARE if spec.test == "auto" else spec.test, rows)
    if spec.test not in ("auto", 0):
        raise DataError(
            f"data.test: {spec.test}: this data set has test files of its own: write auto to use "
            "them, or 0 for no test split."
        )
    return 0


def _count(split: str, part: float, rows: int) -> int:
    """The number of rows that a share (a float) or a count (an int) of `rows` stands for."""
    count = part if isinstance(part, int) else round(part * rows)
    if part and not count:
        raise DataError(f"data.{split}: {part} of {rows} rows is less than one: write a count.")
    if count >= rows:
        raise DataError(
            f"data.{split}: {part} leaves none of the {rows} rows to train on: write a share such "
            "as 0.2, or a smaller count."
        )
    return count


def _allot(size: int, counts: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """The number of `size` seats that each class gets: its share, rounded by largest remainder.

    No class gets more than its limit; the seats left over go to the classes furthest below their
    share.
    """
    if size > limits.sum():
        raise ValueError(f"{size} rows cannot be drawn so that every class keeps one")
    shares = size * counts / counts.sum()
    seats: np.ndarray = np.minimum(np.floor(shares).astype(np.int64), limits)
    while (open_seats := size - seats.sum()) > 0:
        missing = np.where(seats < limits, shares - seats, -np.inf)
        first = np.argsort(-missing, kind="stable")[: min(open_seats, (seats < limits).sum())]
        seats[first] += 1
    return seats


def _ranges(rows: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    parts = [rows[start:end] for start, end in zip(starts, ends, strict=True)]
    return np.sort(np.concatenate(parts))
