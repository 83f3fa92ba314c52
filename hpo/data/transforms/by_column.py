"""What fits a transform to a table that is larger than the memory: column by column.

Each number is that of NumPy for the whole table, bit for bit: a sum over a column adds the same
numbers in the same order. Large arrays lie in mapped files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from hpo.data import mapped


def pieces_of(array: np.ndarray) -> Iterator[slice]:
    """Rows of an array, as many at a time as take little memory."""
    step = mapped.rows_at_once(array)
    for start in range(0, len(array), step):
        yield slice(start, min(start + step, len(array)))


def have_values(x: np.ndarray) -> np.ndarray:
    """Whether each column holds a number somewhere."""
    found = np.zeros(x.shape[1], bool)
    for rows in pieces_of(x):
        found |= ~np.isnan(x[rows]).all(axis=0)
    return found


def kept_columns(x: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """`x[:, kept]`, column after column in memory."""
    if not mapped.is_large(x.nbytes):
        some: np.ndarray = x[:, kept]
        return some
    found = mapped.empty((int(kept.sum()), len(x)), x.dtype).T
    for rows in pieces_of(x):
        found[rows] = x[rows][:, kept]
    return found


def values_of(column: np.ndarray) -> np.ndarray:
    """The numbers of a column without its empty cells, in an array that may be changed."""
    if not mapped.is_large(column.nbytes):
        few: np.ndarray = column[~np.isnan(column)]
        return few
    found, end = mapped.empty(len(column), column.dtype), 0
    for rows in pieces_of(column):
        some = column[rows]
        some = some[~np.isnan(some)]
        found[end : end + len(some)] = some
        end += len(some)
    return found[:end]


def by_rows(length: int, function: Callable[[slice], np.ndarray], like: np.ndarray) -> np.ndarray:
    """What a function of rows gives for all of them, in the order of memory that it has.

    `like` is what it gives for the first rows.
    """
    is_by_column = like.flags.f_contiguous
    shape = (like.shape[1], length) if is_by_column else (length, like.shape[1])
    found = mapped.empty(shape, like.dtype)
    found = found.T if is_by_column else found
    for rows in pieces_of(found):
        found[rows] = function(rows)
    return found


def mean_and_std(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the deviation of each column, as `x.mean(axis=0)` and `x.std(axis=0)`."""
    if not mapped.is_large(x.nbytes):
        return x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    mean = x.mean(axis=0, dtype=np.float64)
    squares = np.zeros(x.shape[1])
    if x.flags.f_contiguous:
        apart = mapped.empty(len(x), np.float64)
        for place, column in enumerate(x.T):
            np.subtract(column, mean[place], out=apart)
            np.multiply(apart, apart, out=apart)
            squares[place] = np.add.reduce(apart)
    else:
        for rows in pieces_of(x):
            some = x[rows] - mean
            np.multiply(some, some, out=some)
            # The sum so far is the first of the rows, which are added one by one.
            squares = np.add.reduce(np.vstack([squares, some]) if rows.start else some, axis=0)
    return mean, np.sqrt(squares / len(x))
