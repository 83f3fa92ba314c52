"""A data set as the engine takes it: split, encoded and scaled."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, TypeAlias

import numpy as np

from hpo.data import mapped
from hpo.data.sequences.windows import Windows
from hpo.data.transforms.by_column import pieces_of
from hpo.data.transforms.features import Features
from hpo.data.transforms.transform import FittedTransform
from hpo.errors import DataError
from hpo.spec.sections.data import POSITION_AXES, Task
from hpo.spec.sections.sizes import Storage

SPLITS = ("train", "validation", "test")


def gather(arrays: Mapping[str, Any], rows: Any) -> Mapping[str, Any]:
    """The named arrays at these rows: a batch, a chunk or a split, on the host or on a device.

    `rows` is an index of the first axis: whole numbers of any shape, or a slice. On the host, a
    slice gives views, which take no memory.
    """
    if isinstance(arrays, Windows):
        return arrays.at(rows)
    return {name: _at(array, rows) for name, array in arrays.items()}


def held_bytes(arrays: Mapping[str, Any]) -> int:
    """The memory of named arrays."""
    if isinstance(arrays, Windows):
        return arrays.nbytes
    return sum(array.nbytes for array in arrays.values())


def _at(array: Any, rows: Any) -> Any:
    if isinstance(array, np.ndarray) and isinstance(rows, np.ndarray):
        return np.take(array, rows, axis=0)  # unlike indexing, it lets other threads run meanwhile
    return array[rows]


# The offset that is subtracted from images, and the divisor, float32.
Scale: TypeAlias = tuple[Any, Any]


# By these numbers a step takes features of float16 as they are.
_AS_THEY_ARE: Scale = np.zeros(1, np.float32), np.ones(1, np.float32)
# The last of the whole numbers from 0 that float16 holds without a gap.
_MOST_CODES = 2048


def scaled(x: Any, scale: Scale) -> Any:
    """Images as read or stored numbers as features: on the host or on a device."""
    return (x.astype(np.float32) - scale[0]) / scale[1]


def scale_of(transform: FittedTransform) -> Scale:
    """The numbers with which a fit scales images."""
    return transform.offset.astype(np.float32), transform.divisor.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Split:
    """An index of rows into named arrays, which the other splits of a data set share.

    `x` is float32: `[N, height, width, channels]` for images, `[N, features]` for tables, whose
    codes of categories come first. The ids
    of the tokens of texts are int32 `[N, length]`. `y` is
    int32 or float32 `[N]`, and float32 `[N, targets]` for several targets. A data set with weights
    has `weight` too, float32 `[N]`, whose mean over the training split is 1. The rows of a series
    or a text are `Windows`, and `x` and `y` views of one array.

    Images of folds are shared as read, uint8, and so are those of `data.store`, whose float16
    is for other features too. Then `scale` has the offset and the divisor, float32, that make this
    split's `x` of them.
    """

    shared: Mapping[str, np.ndarray]
    rows: slice | np.ndarray = field(default_factory=lambda: slice(None))  # by default, all
    scale: Scale | None = None

    @cached_property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The arrays of the rows of this split alone: views, if the rows are a slice."""
        return gather(self.shared, self.rows) if self.scale is None else _Scaled(self, self.scale)

    @property
    def held(self) -> Mapping[str, np.ndarray]:
        """The arrays of the rows of this split as a device holds them: `x` is not scaled yet."""
        return self.arrays if self.scale is None else gather(self.shared, self.rows)

    @property
    def example_shape(self) -> tuple[int, ...]:
        """The shape of the features of a row."""
        return self.shared["x"].shape[1:]

    @property
    def example_type(self) -> str:
        """The type of the features of a row: that of whole numbers for tokens, else float32."""
        return "float32" if self.scale is not None else str(self.shared["x"].dtype)

    @property
    def first(self) -> Split:
        """The first row alone."""
        return Split(self.shared, self.places[:1], self.scale)

    @property
    def x(self) -> np.ndarray:
        """The features of every row."""
        return self.arrays["x"]

    @property
    def y(self) -> np.ndarray:
        """The class number or the scaled target of every row."""
        return self.arrays["y"]

    @property
    def row_weight(self) -> np.ndarray | None:
        """The weight of every row, the mean of those of its pixels; None without weights."""
        weight = self.arrays.get("weight")
        return weight if weight is None or weight.ndim == 1 else weight.mean((1, 2))

    @cached_property
    def places(self) -> np.ndarray:
        """The place of every row in the shared arrays."""
        if isinstance(self.rows, slice):
            return np.arange(*self.rows.indices(_row_count(self.shared)))
        return self.rows

    def __len__(self) -> int:
        if isinstance(self.rows, slice):
            return len(range(*self.rows.indices(_row_count(self.shared))))
        return len(self.rows)


def _row_count(arrays: Mapping[str, Any]) -> int:
    return len(arrays.starts if isinstance(arrays, Windows) else arrays["y"])


@dataclass(frozen=True, eq=False)
class _Scaled(Mapping[str, np.ndarray]):
    """The arrays of a split whose images are shared as read; each is made when it is asked for."""

    split: Split
    scale: Scale
    _made: dict[str, np.ndarray] = field(default_factory=dict)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._made:
            array = _at(self.split.shared[name], self.split.rows)
            self._made[name] = scaled(array, self.scale) if name == "x" else array
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.split.shared)

    def __len__(self) -> int:
        return len(self.split.shared)


@dataclass(frozen=True, eq=False)
class DataSet:
    """The splits of a data set and what is needed to read a model's outputs.

    `transform` made the features and targets of every split from the examples as read. `outputs` is
    the number of classes, or of targets. `fingerprint` is a hash of every split as read and
    of its scaling, the same on every machine. A study compares it to notice changed data.
    `notes` say what the reader did that the user should know. `features` are the columns, or the
    shape, of examples as read.

    With `data.folds`, `folds` has a data set for each fold, with a transform of its own. All share
    their arrays: those of the folds lie end to end, and their test rows after them. Images lie
    there once, and a fold has the places of its rows. The splits are then those of the fold with
    the most training rows.

    `extra` has the rows of `data.extra`, which lie after those that train. No number of rows counts
    them. `teacher` are the networks that answer for training rows within a step, if there are any;
    with folds, their arrays have those of each fold. `number` is the place of a fold in `folds`.
    """

    task: Task
    train: Split
    validation: Split
    test: Split | None
    outputs: int
    fingerprint: str
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    transform: FittedTransform = field(default_factory=FittedTransform)
    features: Features = field(default_factory=Features)
    folds: tuple[DataSet, ...] = ()
    extra: Split | None = None
    teacher: tuple[Any, ...] = ()
    number: int = 0

    @cached_property
    def pixel_ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Black and white as scaled, float32 `[C]`: the extremes of training images as read."""
        offset, divisor = scale_of(self.transform)
        if self.train.shared["x"].dtype != np.uint8:
            x = self.train.x
            axes = tuple(range(x.ndim - 1))
            low = (x.min(axes) * divisor + offset).min()
            high = (x.max(axes) * divisor + offset).max()
        else:
            pixels = _at(self.train.shared["x"], self.train.rows)
            low, high = pixels.min(), pixels.max()
        ends = np.array([low, max(high, low + 1e-6)], np.float32)[:, None]
        black, white = np.broadcast_to((ends - offset) / divisor, (2, self.train.example_shape[-1]))
        return black, white

    @property
    def members(self) -> tuple[DataSet, ...]:
        """The data sets that a trial trains on: those of its folds, or this one."""
        return self.folds or (self,)

    @property
    def train_rows(self) -> int:
        """The training rows that every fold has."""
        return min(len(one.train) for one in self.members)

    @property
    def splits(self) -> dict[str, Split]:
        """The splits that there are, by the names of their fields."""
        named = {name: getattr(self, name) for name in (*SPLITS, "extra")}
        return {name: split for name, split in named.items() if split is not None}

    @property
    def drawn_places(self) -> np.ndarray:
        """The places of the rows that train: those of the training split, then the extra ones."""
        extra = [] if self.extra is None else [self.extra.places]
        return np.concatenate([self.train.places, *extra])

    @property
    def resident(self) -> Mapping[str, np.ndarray]:
        """The arrays of which a device holds every row: those of the training split, or of all
        folds with their validation rows, and extra rows after them.
        """
        if not self.folds and self.extra is None:
            return self.train.held
        splits = [one.train for one in self.members]
        splits += [fold.validation for fold in self.folds]
        splits += [one.extra for one in self.members if one.extra is not None]
        return gather(
            self.train.shared, slice(1 + max(int(split.places.max()) for split in splits))
        )

    @property
    def vocabulary(self) -> int:
        """The number of different ids in `x`; 0 if `x` holds features.

        Of texts in a table, 0 is padding.
        """
        if self.task == "language":
            return self.outputs
        return max(one.transform.ids for one in self.members)

    @property
    def categories(self) -> tuple[int, ...]:
        """The number of different codes in each of the first columns of `x`, which hold codes.

        Of folds, the largest. Codes are whole numbers in float32; 0 is an empty cell or a category
        that no training row has.
        """
        counts = [one.transform.categories for one in self.members]
        return tuple(max(column) for column in zip(*counts, strict=True))

    @property
    def numbers(self) -> int | None:
        """How many features of a table, the first ones after codes, are scaled; else None."""
        is_table = self.transform.kept is not None and len(self.train.example_shape) == 1
        return max(one.transform.numbers for one in self.members) if is_table else None

    @property
    def embeddings(self) -> np.ndarray | None:
        """The vector of each id that `data.text.embeddings` has, float32 `[ids, size]`.

        A model starts from them, or keeps them. Those of padding and of words that the file does
        not have are 0.
        """
        return self.transform.embeddings

    @property
    def embedding_size(self) -> int:
        """The numbers in each of these vectors; 0 without."""
        return 0 if self.embeddings is None else int(self.embeddings.shape[1])

    @property
    def positions(self) -> tuple[int, ...]:
        """The sizes of the axes of an example whose every position has a class; mostly none."""
        return self.train.example_shape[: POSITION_AXES.get(self.task, 0)]

    @property
    def target_mean(self) -> Any:
        """What is subtracted from a regression target, in its own unit; an array for several."""
        return _number(self.transform.target_mean)

    @property
    def target_std(self) -> Any:
        """The divisor of a regression target, by which errors are multiplied; or an array."""
        return _number(self.transform.target_std)


def of_folds(folds: Sequence[DataSet]) -> DataSet:
    """The data set of these folds, which share their arrays."""
    digest = hashlib.sha256("".join(fold.fingerprint for fold in folds).encode())
    return replace(
        max(folds, key=lambda fold: len(fold.train)),
        fingerprint=digest.hexdigest(),
        notes=tuple(dict.fromkeys(note for fold in folds for note in fold.notes)),
        number=0,
        folds=tuple(replace(fold, number=number) for number, fold in enumerate(folds)),
    )


def apart(data: DataSet) -> DataSet:
    """Folds that share images as read, with copies of their own of all arrays."""
    # The rows that train and validate come first, then the extra rows, then those that test.
    named = [(fold, name) for fold in data.folds for name in SPLITS[:2]]
    named += [(fold, name) for name in ("extra", "test") for fold in data.folds]
    named = [(fold, name) for fold, name in named if name in fold.splits]
    splits = [fold.splits[name] for fold, name in named]
    arrays = {
        name: np.concatenate([split.arrays[name] for split in splits]) for name in data.train.shared
    }
    own: dict[int, dict[str, Any]] = {id(fold): {} for fold in data.folds}
    ends = pairwise(accumulate(map(len, splits), initial=0))
    for (fold, name), (start, end) in zip(named, ends, strict=True):
        own[id(fold)][name] = Split(arrays, slice(start, end))
    return of_folds([replace(fold, **own[id(fold)]) for fold in data.folds])


def stored(data: DataSet, kind: Storage) -> DataSet:
    """`data` whose features lie in this type; those of folds of images are uint8 already.

    Raises:
        DataError: for features that the type cannot hold.
    """
    if kind == "float32" or data.train.scale is not None:
        return data
    shared = data.train.shared
    if isinstance(shared, Windows) or shared["x"].dtype.kind != "f":
        raise DataError(f"data.store: {kind} is for images and tables of numbers: remove it.")
    if kind == "float16" and max(data.categories, default=0) > _MOST_CODES:
        raise DataError(
            f"data.store: float16 tells {_MOST_CODES:,} categories of a column apart, and one has "
            f"{max(data.categories):,}: remove it."
        )
    if kind == "uint8" and data.features.type != "uint8":
        raise DataError(
            "data.store: uint8 is for images that were read as whole numbers from 0 to 255: write "
            "float16."
        )
    x = mapped.empty(shared["x"].shape, np.dtype(kind))
    arrays = {**shared, "x": x}
    members = [_stored(one, arrays) for one in data.members]
    return of_folds(members) if data.folds else members[0]


def _stored(data: DataSet, arrays: dict[str, np.ndarray]) -> DataSet:
    """The data set, or the fold, with these arrays, into which its features are written."""
    x = arrays["x"]
    scale = scale_of(data.transform) if x.dtype == np.uint8 else _AS_THEY_ARE
    splits: dict[str, Any] = {}
    for name, split in data.splits.items():
        own = x[split.rows]  # a view, for the rows of a split are a slice
        for rows in pieces_of(split.x):
            _write(own[rows], split.x[rows], scale)
        splits[name] = Split(arrays, split.rows, scale)
    return replace(data, **splits)


def _write(out: np.ndarray, x: np.ndarray, scale: Scale) -> None:
    """Write scaled features in the type of `out`.

    Raises:
        DataError: if it cannot hold them.
    """
    if out.dtype == np.uint8:
        out[:] = np.rint(x * scale[1] + scale[0])
        if np.allclose(scaled(out, scale), x, rtol=1e-5, atol=1e-5):
            return
        raise DataError(
            "data.store: uint8 holds images as read, and whiten or reduce make others of them: "
            "write float16."
        )
    with np.errstate(over="ignore"):
        out[:] = x
    if not np.isfinite(out).all():
        raise DataError(
            f"data.store: float16 ends at 65,504, and a feature is {np.abs(x).max():.3g}: write "
            "normalize: standard, or remove it."
        )


def _number(array: np.ndarray) -> Any:
    return float(array) if array.ndim == 0 else array


# What a training without data has in the place of a data set.
NO_DATA = DataSet(
    task="regression",
    train=Split({"y": np.zeros(0, np.float32)}),
    validation=Split({"y": np.zeros(0, np.float32)}),
    test=None,
    outputs=0,
    fingerprint="",
)
