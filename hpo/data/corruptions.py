"""The corrupted copy of validation and test rows that `data.corrupt` asks for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.data.sequences.windows import Windows
from hpo.data.source import fingerprint_of
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec
from hpo.spec.sections.techniques.corrupt import Corruption

# The name of the copy among the arrays of a split. Where a user has corrupted rows, each row of a
# split has several of these, with targets and weights of their own.
CORRUPTED, OWN_TARGETS, OWN_WEIGHTS = "corrupted", "corrupted_y", "corrupted_weight"
_SEED = 0xC0
# With a severity of 1, salt and pepper replaces this share of the numbers.
_REPLACED = 0.2


class Numbers(NamedTuple):
    """The training numbers: their deviation, the lowest and the highest."""

    deviation: float
    lowest: float
    highest: float


class Rows(NamedTuple):
    """Rows that judge beside a split, with a weight for each."""

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray

    def take(self, places: np.ndarray) -> Rows:
        """Some of the rows."""
        return Rows(*(array[places] for array in self))


def corrupted(data: DataSet, spec: DataSpec, folder: Path) -> DataSet:
    """`data` whose validation and test rows have corrupted rows beside them, if the spec asks.

    Raises:
        DataError: for data, or a file in the folder, that are unfit.
    """
    data = _with_copies(data, spec)
    return data if spec.corrupt.file is None else _with_own(data, spec, spec.corrupt.file, folder)


def _with_own(data: DataSet, spec: DataSpec, file: str, folder: Path) -> DataSet:
    """`data` whose validation and test rows have the corrupted rows of a file beside them."""
    from hpo.data.new.labelled import labelled  # imports the readers of new data

    where = "data.corrupt.from"
    if data.folds:
        raise DataError(f"{where}: is for one validation split, and there are folds: remove it.")
    source = labelled(where, file, folder, data, spec)
    weight = np.ones(len(source)) if source.weight is None else source.weight
    weight = weight / data.features.weight_mean
    rows = Rows(data.transform.apply(source), data.transform.apply_target(source), weight)
    splits, parts = [data.validation], [rows]
    if data.test is not None:
        if len(source) < 2:
            raise DataError(f"{where}: {file} has one row for validation and test: write more.")
        order = np.random.default_rng((_SEED, spec.split_seed, 2)).permutation(len(source))
        splits, parts = [*splits, data.test], [rows.take(order[half::2]) for half in (0, 1)]
    found = [dealt(split, part) for split, part in zip(splits, parts, strict=True)]
    return replace(
        data,
        validation=found[0],
        test=found[1] if len(found) > 1 else None,
        fingerprint=fingerprint_of([source], data.fingerprint, with_texts=True),
    )


def dealt(split: Split, rows: Rows) -> Split:
    """A split of which each row has as many of `rows`, and of a copy of its own, as it takes.

    Their weights times those of the split's rows are in proportion to their own weights, and have
    the sum of those of the split.
    """
    arrays = dict(split.arrays)
    weight = split.row_weight
    weight = np.ones(len(split)) if weight is None else weight.astype(np.float64)
    if CORRUPTED in arrays:
        both = zip(Rows(arrays[CORRUPTED], split.y, weight), rows, strict=True)
        rows = Rows(*(np.concatenate(pair) for pair in both))
    holders = np.flatnonzero(weight)
    each = math.ceil(len(rows.y) / len(holders))
    numbers = np.arange(len(rows.y))
    at = holders[numbers % len(holders)], numbers // len(holders)
    shares = rows.weight / rows.weight.sum() * weight.sum() / weight[at[0]]
    for name, array in zip((CORRUPTED, OWN_TARGETS, OWN_WEIGHTS), (*rows[:2], shares), strict=True):
        kind = np.float32 if name == OWN_WEIGHTS else array.dtype
        arrays[name] = np.zeros((len(split), each, *array.shape[1:]), kind)
        arrays[name][at] = array
    return Split(arrays)


def _with_copies(data: DataSet, spec: DataSpec) -> DataSet:
    """`data` whose validation and test rows have a corrupted copy, if the spec has kinds.

    Source: Hendrycks and Dietterich 2019, "Benchmarking neural network robustness to common
    corruptions and perturbations" (arXiv:1903.12261), Section 3; the strengths are ours.

    Raises:
        DataError: for rows that are windows or hold no numbers, and changes of images for others.
    """
    kinds = spec.corrupt.kinds
    if not kinds:
        return data
    x = data.train.x
    if data.folds or isinstance(data.train.shared, Windows) or x.dtype.kind != "f":
        raise DataError(
            "data.corrupt.kinds: is for one validation split of images or of rows of numbers: "
            "remove it."
        )
    if x.ndim != 4 and (found := next((kind for kind in kinds if kind in _OF_IMAGES), None)):
        raise DataError(f"data.corrupt.kinds: {found} is for images: remove it.")
    codes = len(data.categories)
    known = x[:, codes:] if codes else x
    numbers = Numbers(float(known.std()), float(known.min()), float(known.max()))

    def changed(split: Split, part: int) -> Split:
        rng = np.random.default_rng((_SEED, spec.split_seed, part))
        copy = split.x.copy()
        own = copy[:, codes:] if codes else copy
        turns = rng.permutation(np.resize(np.arange(len(kinds)), len(copy)))
        for number, kind in enumerate(kinds):
            rows = turns == number
            own[rows] = _KINDS[kind](own[rows], spec.corrupt.severity, numbers, rng)
        return Split({**split.arrays, CORRUPTED: copy})

    test = None if data.test is None else changed(data.test, 1)
    return replace(data, validation=changed(data.validation, 0), test=test)


def with_noise(
    x: np.ndarray, severity: float, numbers: Numbers, rng: np.random.Generator
) -> np.ndarray:
    """Numbers with normal noise of `severity` deviations."""
    return x + severity * numbers.deviation * rng.standard_normal(x.shape)


def with_salt_and_pepper(
    x: np.ndarray, severity: float, numbers: Numbers, rng: np.random.Generator
) -> np.ndarray:
    """Numbers of which a share is the lowest or the highest one of the training rows."""
    drawn, share = rng.random(x.shape), min(1.0, _REPLACED * severity)
    found = np.where(drawn < share, numbers.highest, x)
    return np.where(drawn < share / 2, numbers.lowest, found)


def brighter(
    x: np.ndarray, severity: float, numbers: Numbers, _: np.random.Generator
) -> np.ndarray:
    """Images that are brighter by `severity` deviations, to the highest training number at most."""
    brightest = max(numbers.highest, float(x.max()))
    found: np.ndarray = np.minimum(x + severity * numbers.deviation, brightest)
    return found


def with_less_contrast(
    x: np.ndarray, severity: float, _: Numbers, __: np.random.Generator
) -> np.ndarray:
    """Images whose pixels are closer to their mean, by the factor 1 / (1 + severity)."""
    mean = x.mean((1, 2, 3), keepdims=True)
    found: np.ndarray = mean + (x - mean) / (1 + severity)
    return found


def blurred(x: np.ndarray, severity: float, _: Numbers, __: np.random.Generator) -> np.ndarray:
    """Images whose pixels are the means of squares around them; edges are repeated.

    A square reaches 2 * severity pixels to each side, and one at least.
    """
    reach = max(1, round(2 * severity))
    for axis in (1, 2):
        widths = [(reach, reach) if a == axis else (0, 0) for a in range(4)]
        padded = np.pad(x, widths, mode="edge")
        shifts = range(2 * reach + 1)
        parts = [np.take(padded, np.arange(x.shape[axis]) + s, axis=axis) for s in shifts]
        x = np.mean(parts, axis=0)
    return x


_Change = Callable[[np.ndarray, float, Numbers, np.random.Generator], np.ndarray]
_KINDS: dict[Corruption, _Change] = {
    "gaussian_noise": with_noise,
    "salt_pepper": with_salt_and_pepper,
    "brightness": brighter,
    "contrast": with_less_contrast,
    "blur": blurred,
}
_OF_IMAGES: tuple[Corruption, ...] = ("brightness", "contrast", "blur")
