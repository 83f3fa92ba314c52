"""Whether the arrays of a fit that was read from a file are those of the examples beside it.

NumPy stretches a shorter array over longer ones, so that a wrong fit would answer without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hpo.data.source import Source
from hpo.data.transforms.encoding import PARTS
from hpo.data.transforms.features import Features
from hpo.data.transforms.transform import FittedTransform

# The kind of numbers of each array, and its axes: a length, or a name that has one length in all.
_ARRAYS = {
    "offset": "f scaled",
    "divisor": "f scaled",
    "kept": "b numbers",
    "fill": "f kept",
    "text_fill": "i texts",
    "text_column": "i ones",
    "text_value": "i ones",
    "clip": "f",
    "log_column": "i logs",
    "quantile_column": "i quantiles",
    "quantiles": "f points quantiles",
    "known_column": "i knowns",
    "known": "i known",
    "known_start": "i known_starts",
    "known_is_target": "b knowns",
    "target_means": "f parts known means",
    "target_prior": "f parts means",
    "code_column": "i codes",
    "code_known": "i code_known",
    "code_start": "i code_starts",
    "hash_column": "i hashes",
    "hash_buckets": "i hashes",
    "flag_column": "i flags",
    "flag_text": "i flag_texts",
    "map_mean": "f unmapped",
    "map": "f unmapped mapped",
    "is_reduced": "b",
    "target_range": "f 2",
    "image_size": "i 2",
    "text_place": "i places",
}
# Arrays of places, and the columns among which these are.
_PLACES = {
    "log_column": "kept",
    "quantile_column": "kept",
    "text_column": "texts",
    "known_column": "texts",
    "code_column": "texts",
    "hash_column": "texts",
    "flag_column": "numbers",
    "flag_text": "texts",
    "text_place": "texts",
}
_ALWAYS = ("offset", "divisor", "target_mean", "target_std")
_OF_TABLES = ("kept", "fill", "text_fill", "text_column", "text_value")
_TOGETHER = (
    ("known_column", "known", "known_start"),
    ("known_is_target", "target_means", "target_prior"),
    ("code_column", "code_known", "code_start"),
    ("hash_column", "hash_buckets"),
    ("quantile_column", "quantiles"),
    ("map_mean", "map"),
)


def check_fit(arrays: Mapping[str, np.ndarray], features: Features, width: int) -> FittedTransform:
    """The fit of these arrays, for examples of these features, which become `width` at most.

    Raises:
        ValueError: for arrays that do not fit these examples, or one another.
        Exception: of another kind, as arithmetic with such arrays raises it.
    """
    _check_there(arrays, _ALWAYS)
    # Targets of arrays have no names.
    several = (len(features.targets),) if features.targets else arrays["target_mean"].shape[:1]
    for name in ("target_mean", "target_std"):
        if arrays[name].dtype.kind != "f" or arrays[name].shape not in ((), several):
            raise _unfit(name, arrays[name])
    is_table = features.is_table or (features.type != "uint8" and len(features.shape) == 1)
    if is_table != ("kept" in arrays):
        raise ValueError("is of a table" if "kept" in arrays else "lacks kept")
    for group in _TOGETHER:
        if any(name in arrays for name in group):
            _check_there(arrays, group)
    sizes = {"parts": PARTS + 1, "2": 2}
    if is_table:
        _check_there(arrays, _OF_TABLES)
        numbers = len(features.numbers) if features.is_table else features.shape[0]
        sizes |= {"numbers": numbers, "texts": len(features.texts)}
        sizes["kept"] = int(np.count_nonzero(arrays["kept"]))
        sizes["scaled"] = sizes["kept"] + _known_features(arrays)
    else:
        sizes["scaled"] = features.shape[-1]
    for name in _ARRAYS.keys() & arrays.keys():
        _check_shape(name, arrays[name], sizes)
    _check_places(arrays, sizes)
    if "hash_buckets" in arrays and int(arrays["hash_buckets"].sum(dtype=np.int64)) > width:
        raise ValueError("has more hashes than features")
    return FittedTransform.from_arrays(arrays)


def width_of(fit: FittedTransform, features: Features) -> tuple[int, ...]:
    """The shape of the features of an example, as no rows at all show it."""
    shape, kind = features.shape, features.type
    if features.is_table:
        shape, kind = (len(features.numbers),), "float64"
    empty = Source(
        np.zeros((0, *shape), kind),
        np.zeros(0),
        "",
        categories=np.zeros((0, len(features.texts)), np.int32) if features.texts else None,
        values=tuple(one.values or () for one in features.texts),
    )
    return fit.apply(empty).shape[1:]


def _check_there(arrays: Mapping[str, np.ndarray], names: tuple[str, ...]) -> None:
    for name in names:
        if name not in arrays:
            raise ValueError(f"lacks {name}")


def _known_features(arrays: Mapping[str, np.ndarray]) -> int:
    """How many scaled features are places in sorted order, or mean targets."""
    columns = len(arrays.get("known_column", ()))
    if "known_is_target" not in arrays:
        return columns
    means = int(np.count_nonzero(arrays["known_is_target"]))
    return columns + means * (int(arrays["target_prior"].shape[-1]) - 1)


def _check_shape(name: str, array: np.ndarray, sizes: dict[str, int]) -> None:
    """Refuse an array of another kind, or of lengths that others of its axes have not."""
    kind, *axes = _ARRAYS[name].split()
    if array.dtype.kind != kind or array.ndim != len(axes):
        raise _unfit(name, array)
    for axis, length in zip(axes, array.shape, strict=True):
        if sizes.setdefault(axis, length) != length:
            raise _unfit(name, array)


def _check_places(arrays: Mapping[str, np.ndarray], sizes: Mapping[str, int]) -> None:
    for name, among in _PLACES.items():
        found: Any = arrays.get(name, ())
        if len(found) and not 0 <= found.min() <= found.max() < sizes.get(among, 0):
            raise ValueError(f"{name} names a column that is not there")
    for column, known, start in (
        ("known_column", "known", "known_start"),
        ("code_column", "code_known", "code_start"),
    ):
        if start not in arrays:
            continue
        ends, count = arrays[start], len(arrays[known])
        is_whole = len(ends) == len(arrays[column]) + 1 and ends[0] == 0 and ends[-1] == count
        least = 1 if start == "known_start" else 0  # of a column without any no place is looked up
        if not is_whole or (np.diff(ends) < least).any():
            raise _unfit(start, ends)


def _unfit(name: str, array: np.ndarray) -> ValueError:
    return ValueError(f"{name} has the shape {list(array.shape)} of {array.dtype.name}")
