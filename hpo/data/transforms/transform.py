"""Encoding and scaling of features and targets, fitted on the training split alone.

Images are scaled by channel, with one mean and deviation (or lowest and highest value) for all
pixels. Numeric columns are scaled one by one, after empty cells are filled with the median. Text
columns follow them, one-hot encoded, after empty cells are filled with the most frequent value. A
text that the training split does not have is zero in every column.

`data.columns` asks for others. The codes of a table come first. Numbers, places in sorted order
and mean targets follow, all of which are scaled. Flags of empty cells, one-hot columns, hashes and
texts come last.

A fit is named arrays and a pure function of them in NumPy, so that it can be stored and applied
anywhere. Tests compare it with scikit-learn, whose import would take seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from hpo.data.mapped import is_large
from hpo.data.source import Source
from hpo.data.text.text_fit import TextFit
from hpo.data.transforms.by_column import by_rows, have_values, kept_columns, mean_and_std
from hpo.data.transforms.codes import code_counts, code_features, fit_codes
from hpo.data.transforms.encoding import (
    fit_hashes,
    fit_known,
    fit_one_hot,
    hash_features,
    known_features,
    training_parts,
)
from hpo.data.transforms.numbers import (
    ends_of,
    fill_of,
    fit_numbers,
    logarithms,
    normal_quantiles,
    robust_scale,
    smoothly_clipped,
)
from hpo.data.transforms.projection import fit_projection, projected
from hpo.data.transforms.resizing import resized, smaller
from hpo.data.transforms.target import check_range, target_scale
from hpo.data.transforms.texts import fit_text_columns, text_features, text_fits
from hpo.errors import DataError
from hpo.spec.sections.columns import MOST_CATEGORIES, Columns, Reduce, Text, Treatment
from hpo.spec.words import shown

Normalize = Literal["standard", "minmax", "robust", "whiten", "none"]

_IMAGES_AT_ONCE = 1000
_ONE = np.float32(1)
_NO_COLUMN = np.zeros(0, np.int32)
# Without stop words, which are a list once they are read.
PLAIN_TEXT = Text(stop_words=())
_HERE = Path()
ALL_FEATURES = Reduce.model_construct(name="none", components=0.95)


@dataclass(frozen=True, eq=False)
class FittedTransform:
    """Turns the examples of any split into features and targets; by default it changes nothing.

    Fields that are None are for tables alone.
    """

    # Of each channel or kept numeric column, float64.
    offset: np.ndarray = field(default_factory=lambda: np.zeros(()))
    divisor: np.ndarray = field(default_factory=lambda: np.ones(()))
    # Float64 scalars, or a number for each of several targets; 0 and 1 for classes.
    target_mean: np.ndarray = field(default_factory=lambda: np.zeros(()))
    target_std: np.ndarray = field(default_factory=lambda: np.ones(()))
    kept: np.ndarray | None = None  # for each numeric column, whether it is a feature
    fill: np.ndarray | None = None  # for each kept column, the value of empty cells, float64
    text_fill: np.ndarray | None = None  # for each text column, the text of empty cells, int32
    text_column: np.ndarray | None = None  # for each one-hot column, its text column
    text_value: np.ndarray | None = None  # for each one-hot column, the text that is a one
    # What only `data.columns` asks for, by name (the other files of this folder say which).
    more: Mapping[str, np.ndarray] = field(default_factory=dict)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The arrays of the fit by name."""
        names = [item.name for item in fields(self) if item.name != "more"]
        named = {name: getattr(self, name) for name in names}
        return {name: array for name, array in named.items() if array is not None} | dict(self.more)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The fit that has these arrays."""
        names = {item.name for item in fields(cls)}
        own = {name: array for name, array in arrays.items() if name in names}
        return cls(**own, more={name: arrays[name] for name in arrays.keys() - names})

    def apply(self, source: Source, parts: np.ndarray | None = None) -> np.ndarray:
        """The features of `source`, float32 `[N, ...]`, row after row in memory; or int32 ids.

        `parts` are those of training rows (`encoding.training_parts`), whose mean targets are those
        of other rows.

        Raises:
            DataError: if float32 cannot hold a scaled number of a table.
        """
        if self.kept is None or self.fill is None:
            return projected(self.more, self._scaled(self.pixels(source.x)))
        codes = self.codes(source)
        if self.ids:
            assert codes is not None
            return text_features(self._texts, codes, source.values)[0]
        with np.errstate(over="ignore"):
            numbers = self._scaled(self.unscaled(source.x, codes, parts))
            if "clip" in self.more:
                numbers = smoothly_clipped(numbers, self.more["clip"])
            numbers = projected(self.more, numbers)
        if not np.isfinite(numbers).all():
            raise DataError(
                f"{source.target}: a column holds numbers too large for float32, or far beyond "
                "its training rows: drop the column, or remove those rows."
            )
        found = [numbers]
        if "code_column" in self.more and source.categories is not None:
            # First, because folds may differ in the number of their other features.
            found.insert(0, code_features(self.more, source.categories))
        for name, x in (("flag_column", source.x), ("flag_text", source.categories)):
            if name in self.more and x is not None:
                empty = x[:, self.more[name]]
                found.append((np.isnan(empty) if name == "flag_column" else empty < 0) * _ONE)
        if codes is not None:
            found += self._encoded(codes, source.values)
        return np.ascontiguousarray(np.concatenate(found, axis=1))

    def pixels(self, x: np.ndarray) -> np.ndarray:
        """Images as read, in the size of those of the fit; other arrays unchanged."""
        size = self.more.get("image_size")
        return x if size is None else resized(x, (int(size[0]), int(size[1])))

    def unscaled(
        self, x: np.ndarray, codes: np.ndarray | None, parts: np.ndarray | None
    ) -> np.ndarray:
        """The features of a table that are scaled, before they are."""
        assert self.kept is not None
        assert self.fill is not None
        numbers = _filled(x[:, self.kept], self.fill)
        if self.more.keys() & {"log_column", "quantile_column"}:
            numbers = numbers.copy(order="K")
            for column in self.more.get("log_column", ()):
                numbers[:, column] = logarithms(numbers[:, column])
            for place, column in enumerate(self.more.get("quantile_column", ())):
                numbers[:, column] = normal_quantiles(
                    numbers[:, column], self.more["quantiles"][:, place]
                )
        if "known_column" not in self.more or codes is None:
            return numbers
        return np.concatenate([numbers, known_features(self.more, codes, parts)], axis=1)

    def apply_target(self, source: Source) -> np.ndarray:
        """The targets of `source`: classes and labels unchanged, or standardised float32.

        Raises:
            DataError: for a target outside the range that the spec has written.
        """
        if source.classes or source.is_multilabel:
            return source.y
        if self.target_range is not None:
            check_range(source, self.target_range)
        scaled: np.ndarray = (source.y - self.target_mean) / self.target_std
        return scaled.astype(np.float32)

    def _scaled(self, x: np.ndarray) -> np.ndarray:
        # float64 for tables: a column of time stamps has more digits than float32.
        kind = np.float32 if x.dtype == np.uint8 else np.float64
        scaled: np.ndarray = np.subtract(x, self.offset, dtype=kind)
        np.divide(scaled, self.divisor, out=scaled, dtype=kind)
        return scaled.astype(np.float32, copy=False)

    def codes(self, source: Source) -> np.ndarray | None:
        """The indices of texts, empty cells filled."""
        if source.categories is None:
            return None
        assert self.text_fill is not None
        fill, codes = self.text_fill, source.categories
        if not is_large(codes.nbytes):
            return np.where(codes < 0, fill, codes)
        return by_rows(
            len(codes), lambda rows: np.where(codes[rows] < 0, fill, codes[rows]), codes[:8]
        )

    def _encoded(self, codes: np.ndarray, values: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """One-hot columns, hashes and texts."""
        is_one: np.ndarray = codes[:, self.text_column] == self.text_value
        found = [is_one.astype(np.float32)]
        if "hash_column" in self.more:
            found.append(hash_features(self.more, codes, values))
        return found + text_features(self._texts, codes, values)

    def parts_of(self, rows: int) -> np.ndarray | None:
        """The parts of the training rows, where mean targets depend on them."""
        return training_parts(rows) if "target_means" in self.more else None

    @property
    def numbers(self) -> int:
        """How many features of a table, the first ones after codes, are scaled or mapped."""
        return self.more["map"].shape[1] if "map" in self.more else len(self.offset)

    @property
    def has_texts(self) -> bool:
        """Whether some columns of a table are texts, of whose tokens features are made."""
        return bool(self._texts)

    @property
    def free_texts(self) -> tuple[int, ...]:
        """The places of the text columns that are texts, not categories."""
        return tuple(self._texts)

    def known_categories(self, place: int) -> np.ndarray | None:
        """The indices that training rows have in a text column; None where any is as good.

        Hashes and free texts have no known ones, nor has a column that is empty in all of them.
        """
        if self.text_fill is None or place in self._texts:
            return None
        assert self.text_column is not None
        assert self.text_value is not None
        found = [self.text_value[self.text_column == place]]
        for column, known, start in (
            ("known_column", "known", "known_start"),
            ("code_column", "code_known", "code_start"),
        ):
            for at in np.flatnonzero(self.more.get(column, _NO_COLUMN) == place):
                found.append(self.more[known][slice(*self.more[start][at : at + 2])])
        together = np.concatenate(found)
        return together if len(together) else None

    @property
    def target_range(self) -> tuple[float, float] | None:
        """The ends between which all targets lie, if the spec has written them."""
        ends = self.more.get("target_range")
        return None if ends is None else (float(ends[0]), float(ends[1]))

    @property
    def categories(self) -> tuple[int, ...]:
        """The number of different codes in each of the first columns, which hold codes."""
        return () if self.ids else code_counts(self.more)

    @property
    def ids(self) -> int:
        """The number of different ids of tokens; 0 if examples are features."""
        return max((fit.ids for fit in self._texts.values()), default=0)

    @property
    def of_files(self) -> list[np.ndarray]:
        """What files beside the data say of words: their vectors, and their alternatives."""
        vectors = [fit.vectors for fit in self._texts.values()]
        return [array for array in (*vectors, *self.alternatives.values()) if array is not None]

    @property
    def embeddings(self) -> np.ndarray | None:
        """The loaded vector of each id, float32 `[ids, size]`, or None where none were loaded."""
        return next((fit.embeddings for fit in self._texts.values()), None)

    @property
    def alternatives(self) -> dict[str, np.ndarray]:
        """What may stand in the place of each id, as `read_synonyms` gives it, by its leaf."""
        fit = next(iter(self._texts.values()), None)
        named = {} if fit is None else {"synonyms": fit.synonyms, "homophones": fit.homophones}
        return {name: array for name, array in named.items() if array is not None}

    @cached_property
    def _texts(self) -> Mapping[int, TextFit]:
        return text_fits(self.more)


def fit_transform(
    train: Source,
    normalize: Normalize,
    minmax_range: tuple[float, float] = (0.0, 1.0),
    clip: float | None = None,
    *,
    columns: Columns,
    text: Text = PLAIN_TEXT,
    folder: Path = _HERE,
    target_range: tuple[float, float] | None = None,
    reduce: Reduce = ALL_FEATURES,
    epsilon: float = 1e-5,
    image_size: int | None = None,
) -> FittedTransform:
    """The transform whose numbers are those of the training split.

    With `minmax`, the lowest and highest training value become the two ends of `minmax_range`.
    Scaled numbers of a table are bent towards `clip`. The stop words of `text` are a list, and its
    relative paths start at `folder`. The ends of the `target_range` become 0 and 1. `reduce` asks
    for fewer features, and `epsilon` is what `whiten` adds to variances. Images are first made
    smaller, where `image_size` is the length of their longer side.

    Raises:
        DataError: if a table has no value in its training rows, or its target hardly varies; for
            `robust` or `clip` beside examples that are no rows of a table.
    """
    target = target_scale(train, target_range)
    more = {} if target_range is None else {"target_range": np.array(target_range)}
    if image_size is not None:
        size = smaller(train.x.shape[1:], image_size)
        more["image_size"] = np.array(size, np.int32)
        train = replace(train, x=resized(train.x, size))
    if train.x.dtype == np.uint8 or train.x.ndim > 2:
        if normalize == "robust" or clip is not None:
            leaf = "normalize: robust" if clip is None else "clip"
            raise DataError(
                f"data.{leaf}: is for the columns of a table, and these examples are arrays: "
                "remove it."
            )
        plain = FittedTransform(**_scale(train.x, normalize, minmax_range), **target, more=more)
        return _projected(plain, train, reduce, epsilon if normalize == "whiten" else None)
    fitted = _fit_table(train, columns, text, folder)
    x = _unscaled(fitted, train)
    more |= fitted.more if clip is None else {**fitted.more, "clip": np.array(clip)}
    fitted = replace(fitted, **_scale(x, normalize, minmax_range), more=more, **target)
    fitted = _projected(fitted, train, reduce, epsilon if normalize == "whiten" else None)
    # A series may have no column but its target, whose past is the input.
    has_columns = train.x.shape[1] > 0 or train.categories is not None
    if has_columns and not fitted.apply(train.take(np.zeros(1, np.int64))).shape[1]:
        raise DataError(
            f"{train.target}: no feature has a value in any training row: fill in the cells, or "
            "give another file."
        )
    return fitted


def _projected(
    fitted: FittedTransform, train: Source, reduce: Reduce, epsilon: float | None
) -> FittedTransform:
    """The transform with a map of its scaled features, if the spec asks for one."""
    if epsilon is None and reduce.name == "none":
        return fitted
    codes, parts = fitted.codes(train), fitted.parts_of(len(train))
    x = train.x if fitted.kept is None else fitted.unscaled(train.x, codes, parts)
    scaled = fitted._scaled(x)
    if "clip" in fitted.more:
        scaled = smoothly_clipped(scaled, fitted.more["clip"])
    return replace(fitted, more={**fitted.more, **fit_projection(scaled, train, reduce, epsilon)})


def _fit_table(train: Source, columns: Columns, text: Text, folder: Path) -> FittedTransform:
    """The transform of a table, not yet scaled."""
    kept = have_values(train.x)
    x = kept_columns(train.x, kept)
    treatments = columns.of_all(_names(train.names, kept))
    fill = fill_of(x, treatments)
    texts = np.zeros((len(x), 0), np.int32) if train.categories is None else train.categories
    texts_as = _with_sentences(
        columns.of_all(_names(train.text_names, np.ones(texts.shape[1], bool))), train.values
    )
    one_hot: dict[str, Any] = fit_one_hot(texts, texts_as)
    fitted = FittedTransform(kept=kept, fill=fill, **one_hot)
    codes = fitted.codes(train)
    more: dict[str, np.ndarray] = {"kept_range": ends_of(x)} if train.names else {}
    if any(one.transform != "none" for one in treatments):
        more |= fit_numbers(_filled(x, fill), treatments)
    flags: list[int] = [
        place
        for place, one in zip(np.flatnonzero(kept).tolist(), treatments, strict=True)
        if one.flag
    ]
    more |= _flags("flag_column", [place for place in flags if np.isnan(train.x[:, place]).any()])
    flags = [place for place, one in enumerate(texts_as) if one.flag]
    more |= _flags("flag_text", [place for place in flags if (texts[:, place] < 0).any()])
    if codes is not None:
        assert fitted.text_fill is not None
        more |= fit_known(codes, fitted.text_fill, texts_as, train)
        more |= fit_hashes(fitted.text_fill, texts_as)
        more |= fit_codes(texts, texts_as)
        names = [f"data.text: column {shown(name)}" for name in train.text_names]
        more |= fit_text_columns(
            codes, fitted.text_fill, texts_as, train.values, text, names=names, folder=folder
        )
    fitted = replace(fitted, more=more)
    if fitted.ids:
        assert fitted.text_fill is not None
        places = np.flatnonzero(fitted.text_fill >= 0)
        _check_alone([*_names(train.names, kept), *(train.text_names[p] for p in places)])
    return fitted


def _check_alone(columns: Sequence[str]) -> None:
    """Refuse other columns beside one whose texts become ids.

    Raises:
        DataError: if there are any.
    """
    if len(columns) > 1:
        raise DataError(
            "data.text.vectors: ids are for one column of text alone, and there are "
            f"{', '.join(map(shown, columns[:4]))}{' ...' if columns[4:] else ''}: list the "
            "others in data.dataset.drop, or write tfidf or counts."
        )


def _with_sentences(
    treatments: list[Treatment], values: Sequence[Sequence[str]]
) -> list[Treatment]:
    """The treatments of text columns; one with too many texts for categories is of sentences.

    The reader has refused any others.
    """
    found = list(treatments)
    for place, texts in enumerate(values):
        if found[place].may_be_sentences and len(texts) > MOST_CATEGORIES:
            found[place] = found[place]._replace(type="text")
    return found


def _names(names: Sequence[str], kept: np.ndarray) -> list[str]:
    """The names of the kept columns; columns without names have empty ones."""
    return [names[place] if names else "" for place in np.flatnonzero(kept).tolist()]


def _flags(name: str, columns: Sequence[int]) -> dict[str, np.ndarray]:
    """The flagged columns that are empty somewhere, by a name; nothing where there are none."""
    return {name: np.array(columns, np.int32)} if columns else {}


def _unscaled(fitted: FittedTransform, train: Source) -> np.ndarray:
    """The features of the training rows that are scaled, before they are."""
    codes, parts = fitted.codes(train), fitted.parts_of(len(train))

    def unscaled(rows: slice) -> np.ndarray:
        return fitted.unscaled(
            train.x[rows],
            None if codes is None else codes[rows],
            None if parts is None else parts[rows],
        )

    if not is_large(train.x.nbytes):
        return unscaled(slice(None))
    return by_rows(len(train), unscaled, unscaled(slice(8)))


def _filled(x: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """`x` with the empty cells of each column filled."""
    if is_large(x.nbytes):
        return by_rows(len(x), lambda rows: _filled_cells(x[rows], fill), x[:8].copy(order="K"))
    return _filled_cells(x, fill)


def _filled_cells(x: np.ndarray, fill: np.ndarray) -> np.ndarray:
    is_empty = np.isnan(x)
    if not is_empty.any():
        return x
    # In the memory order of `x`, on which the last bits of a mean depend.
    filled = x.copy(order="K")
    np.copyto(filled, fill, where=is_empty)
    return filled


def _scale(
    x: np.ndarray, normalize: Normalize, minmax_range: tuple[float, float]
) -> dict[str, Any]:
    """Offset and divisor for the last axis of `x`; a constant is shifted and not divided."""
    axes = tuple(range(x.ndim - 1))
    low, high = x.min(axis=axes).astype(np.float64), x.max(axis=axes).astype(np.float64)
    if normalize == "none":
        return {"offset": np.zeros_like(low), "divisor": np.ones_like(low)}
    if normalize == "minmax":
        bottom, top = minmax_range
        divisor = np.where(high > low, high - low, 1.0) / (top - bottom)
        return {"offset": low - bottom * divisor, "divisor": divisor}
    if normalize == "robust":
        return robust_scale(x)
    mean, std = _mean_and_std(x)
    # Constants are found by their values: the deviation of 0.1, 0.1, ... may round to 1e-17.
    return {
        "offset": np.where(high > low, mean, low),
        "divisor": np.where((high > low) & (std > 0), std, 1.0),
    }


def _mean_and_std(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if x.ndim == 2 and x.dtype != np.uint8:
        return mean_and_std(x)
    if x.dtype != np.uint8:
        axes = tuple(range(x.ndim - 1))
        return x.mean(axis=axes, dtype=np.float64), x.std(axis=axes, dtype=np.float64)
    # Sums of whole numbers are exact, and need no float64 copy of all images.
    pixels = x.size // x.shape[-1]
    axes = tuple(range(x.ndim - 1))
    total = x.sum(axis=axes, dtype=np.int64)
    squares = np.zeros_like(total)
    for start in range(0, len(x), _IMAGES_AT_ONCE):
        some = x[start : start + _IMAGES_AT_ONCE]
        squares += np.square(some, dtype=np.int64).sum(axis=axes)
    mean = total / pixels
    return mean, np.sqrt(squares / pixels - mean**2)
