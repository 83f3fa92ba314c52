"""Hands the rows of a data set to another process: one file without a name, which it maps.

The file is gone once both processes have closed it, however they end.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from hpo.data.dataset import DataSet, Split  # imports more than the other process needs

# The type, the shape and the first byte of each array in the file, by its name.
Places: TypeAlias = Mapping[str, tuple[str, tuple[int, ...], int]]

# Values of the training features that are handed over; beyond, rows are drawn.
_MOST_VALUES = 10_000_000
# Bytes of the features of the judged rows, all of which are handed over.
_MOST_BYTES = 1 << 30
_ROWS_AT_ONCE = 1024
# Wide features of which nearly all are 0, such as words, are handed over without the zeros.
_WIDE = 500
_SPARSE = 0.1
ENCODED = "encoded"  # the name of features as networks read them


class TooLargeError(Exception):
    """The judged rows are too many to be handed over."""


@dataclass(frozen=True)
class Handed:
    """A file of arrays, and what lies where; `rows` of the `rows_of` training rows are in it.

    Ids of tokens are handed over as the counts of each id (`are_counts`), which are sparse; codes
    of categories as one-hot columns. `is_twice` says if they are there as networks read them, too.
    """

    file: IO[bytes]
    places: Places
    is_sparse: bool
    are_counts: bool
    is_twice: bool
    window: int
    rows: int
    rows_of: int


def hand_over(data: DataSet, seed: int, *, has_network: bool = False) -> Handed:
    """Write the rows of all splits into a file, with folds those of each fold.

    A network reads codes and ids as they are, so that both forms are in the file.

    Raises:
        TooLargeError: for judged rows of more than a GiB.
        OSError: if there is no place for the file.
    """
    width = _width(data.train, data.categories)
    judged = [split for one in data.members for split in _judged(one).values()]
    share = _share_of_values(data) if width > _WIDE and not data.vocabulary else 1.0
    is_sparse = share < _SPARSE or data.vocabulary > 0
    values = max(1.0, width * (share if is_sparse else 1.0))  # of a row
    # A value of a sparse row has its column beside it.
    if 4 * values * (1 + is_sparse) * sum(map(len, judged)) > _MOST_BYTES:
        raise TooLargeError
    most = max(1, int(_MOST_VALUES / values) // len(data.members))
    writer = _Writer(data.vocabulary, data.categories)
    is_twice = has_network and bool(data.vocabulary or data.categories)
    for prefix, one in zip(prefixes(data), data.members, strict=True):
        rows = _drawn(len(one.train), most, seed)
        writer.add(f"{prefix}train.y", one.train.y[rows])
        if "weight" in one.train.arrays:
            writer.add(f"{prefix}train.weight", one.train.arrays["weight"][rows])
        writer.add_features(f"{prefix}train.x", one.train, rows, is_sparse=is_sparse)
        for name, split in _judged(one).items():
            writer.add_features(f"{prefix}{name}.x", split, slice(None), is_sparse=is_sparse)
        if is_twice:
            writer.add_encoded(f"{prefix}train.{ENCODED}", one.train, rows)
            for name, split in _judged(one).items():
                writer.add_encoded(f"{prefix}{name}.{ENCODED}", split, slice(None))
    writer.file.flush()
    trained = len(data.train)
    return Handed(
        writer.file,
        writer.places,
        is_sparse,
        data.vocabulary > 0,
        is_twice,
        window_of(data),
        min(trained, most),
        trained,
    )


def window_of(data: DataSet) -> int:
    """How many values of the past of a series an example has; 0 for other data."""
    from hpo.data.sequences.windows import Windows

    return data.train.x.shape[1] if isinstance(data.train.shared, Windows) else 0


def prefixes(data: DataSet) -> list[str]:
    """What the names of the arrays begin with: the number of a fold, or nothing without folds."""
    return [f"{number}." for number in range(len(data.folds))] or [""]


def _judged(data: DataSet) -> dict[str, Split]:
    splits = {"validation": data.validation, "test": data.test}
    return {name: split for name, split in splits.items() if split is not None}


def _share_of_values(data: DataSet) -> float:
    """The share of the features that are not 0, by the first rows."""
    some = _without_codes(data.train.x[:_ROWS_AT_ONCE], data.categories)
    return float(np.count_nonzero(some) / max(1, some.size))


def _width(split: Split, categories: tuple[int, ...]) -> int:
    """The features of a row: a code is one for each category that it may be."""
    return math.prod(split.example_shape) + sum(count - 2 for count in categories)


def _without_codes(x: np.ndarray, categories: tuple[int, ...]) -> np.ndarray:
    """Features whose codes are one-hot columns, none of them for the code 0."""
    if not categories:
        return x
    codes = [x[:, place, None] == np.arange(1, count) for place, count in enumerate(categories)]
    return np.concatenate([*codes, x[:, len(categories) :]], axis=1).astype(np.float32)


def _drawn(count: int, most: int, seed: int) -> np.ndarray | slice:
    """At most `most` rows, in their order; a random part of them where there are more."""
    if count <= most:
        return slice(None)
    return np.sort(np.random.Generator(np.random.Philox(seed)).permutation(count)[:most])


class _Writer:
    """Writes arrays into a file without a name; features are ids where there is a vocabulary."""

    def __init__(self, vocabulary: int, categories: tuple[int, ...]) -> None:
        self._vocabulary, self._categories = vocabulary, categories
        self.file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - its reader closes it
        self.places: dict[str, tuple[str, tuple[int, ...], int]] = {}

    def add(self, name: str, array: np.ndarray) -> None:
        """Add an array."""
        self._add(name, array.dtype, array.shape, [array])

    def add_features(
        self, name: str, split: Split, rows: np.ndarray | slice, *, is_sparse: bool
    ) -> None:
        """Add the features of rows of a split, flattened; no copy of all of them is in memory."""
        index, parts = _in_parts(split, rows)
        pieces = (
            _without_codes(split.x[some], self._categories).reshape(len(some), -1) for some in parts
        )
        width = self._vocabulary or _width(split, self._categories)
        if not is_sparse:
            floats = (piece.astype(np.float32, copy=False) for piece in pieces)
            self._add(name, np.dtype(np.float32), (len(index), width), floats)
            return
        read = partial(_counts, width) if self._vocabulary else _values
        values, columns, counts = zip(*map(read, pieces), strict=True)
        self.add(f"{name}.values", np.concatenate(values).astype(np.float32))
        self.add(f"{name}.columns", np.concatenate(columns).astype(np.int32))
        self.add(f"{name}.ends", np.cumsum(np.concatenate([[0], *counts])).astype(np.int32))
        self.add(f"{name}.width", np.array([width]))

    def add_encoded(self, name: str, split: Split, rows: np.ndarray | slice) -> None:
        """Add the features of rows of a split as they are."""
        index, parts = _in_parts(split, rows)
        pieces = (split.x[some] for some in parts)
        self._add(name, split.x.dtype, (len(index), *split.example_shape), pieces)

    def _add(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], pieces: Any) -> None:
        place = -(-self.file.tell() // 64) * 64
        self.file.seek(place)
        self.places[name] = (dtype.str, tuple(shape), place)
        for piece in pieces:
            self.file.write(np.ascontiguousarray(piece).tobytes())


def _in_parts(split: Split, rows: np.ndarray | slice) -> tuple[np.ndarray, list[np.ndarray]]:
    """The places of rows of a split, and the same in parts that fit in memory."""
    index = np.arange(len(split))[rows]
    return index, np.array_split(index, range(_ROWS_AT_ONCE, len(index), _ROWS_AT_ONCE))


def _values(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is not 0 in features: values, columns, and the number of each row."""
    rows, columns = np.nonzero(x)
    return x[rows, columns], columns, np.bincount(rows, minlength=len(x))


def _counts(vocabulary: int, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How often each row has each of the ids that are tokens, in the same form."""
    from hpo.data.text.text_fit import FIRST_ID

    rows, places = np.nonzero(ids >= FIRST_ID)
    keys, counts = np.unique(rows * vocabulary + ids[rows, places], return_counts=True)
    return counts, keys % vocabulary, np.bincount(keys // vocabulary, minlength=len(ids))


def handed(file: IO[bytes], places: Places) -> Iterator[tuple[str, Any]]:
    """The arrays in a file, mapped into memory; features that are sparse as a sparse matrix."""
    arrays = {name: _mapped(file, *place) for name, place in places.items()}
    yield from arrays.items()
    for name in [name.removesuffix(".ends") for name in arrays if name.endswith(".ends")]:
        from scipy.sparse import csr_matrix

        parts = tuple(arrays[f"{name}.{part}"] for part in ("values", "columns", "ends"))
        shape = (len(parts[2]) - 1, int(arrays[f"{name}.width"][0]))
        yield name, csr_matrix(parts, shape=shape)


def _mapped(file: IO[bytes], dtype: str, shape: tuple[int, ...], place: int) -> np.ndarray:
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.memmap(file, dtype, "r", place, tuple(shape))
