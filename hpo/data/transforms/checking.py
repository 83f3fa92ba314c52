"""Whether the arrays of a fit that was read from a file are those of the examples beside it.

NumPy stretches a shorter array over longer ones, and finds places in an array that is not sorted:
a wrong fit would answer without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hpo.data.source import Source
from hpo.data.text.text_fit import TextFit
from hpo.data.transforms.encoding import OWN, PARTS
from hpo.data.transforms.features import Features
from hpo.data.transforms.texts import text_fits
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
    "kept_range": "f 2 kept",
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
# Arrays that name each column once, in their order.
_COLUMNS_ONCE = _PLACES.keys() - {"text_column"}
# Numbers by which others are divided.
_DIVISORS = ("divisor", "target_std", "clip")
_MOST_CODE = 0x10FFFF  # of Unicode
_BYTES = 256  # the tokens of BPE that no merge makes
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
    _check_numbers(arrays)
    for name in _COLUMNS_ONCE & arrays.keys():
        _check_rising(name, arrays[name])
    if is_table:
        _check_categories(arrays, features)
    fit = FittedTransform.from_arrays(arrays)
    for one in text_fits(fit.more).values():
        _check_text(one)
    return fit


def check_tokens(arrays: Mapping[str, np.ndarray], outputs: int) -> FittedTransform:
    """The fit of a model of a language with this number of outputs: its tokens, and no columns.

    Raises:
        ValueError: for arrays that are no tokens of such a model.
    """
    if "merges" in arrays:
        _check_merges(arrays["merges"])
        tokens = _BYTES + len(arrays["merges"])
    else:
        _check_there(arrays, ("token_code",))
        codes = arrays["token_code"]
        if codes.ndim != 1 or codes.dtype.kind not in "iu":
            raise _unfit("token_code", codes)
        _check_rising("token_code", codes)
        _check_between("token_code", codes, 0, _MOST_CODE)
        tokens = len(codes)
    if not 0 < tokens <= outputs:
        raise ValueError(f"has {tokens} tokens for {outputs} outputs")
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


def _check_numbers(arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse numbers that no training data give, whatever they are."""
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} holds {array[~np.isfinite(array)].flat[0]}")
    for name in _DIVISORS:
        if name in arrays and not (arrays[name] > 0).all():
            raise ValueError(f"{name} holds {arrays[name].min():g}, by which nothing is divided")
    for name in ("hash_buckets", "image_size"):
        if name in arrays and not (arrays[name] > 0).all():
            raise ValueError(f"{name} holds {arrays[name].min()}, which is no count")
    least, most = np.finfo(np.float32).tiny, np.finfo(np.float32).max
    if "clip" in arrays and not least <= arrays["clip"] <= most:
        raise ValueError(f"clip holds {arrays['clip']:g}, which is no number of float32")
    low, high = arrays.get("target_range", (0, 1))
    if low >= high:
        raise ValueError(f"target_range goes from {low:g} to {high:g}")
    quantiles = arrays.get("quantiles")
    if quantiles is not None and (np.diff(quantiles, axis=0) < 0).any():
        raise ValueError("quantiles are not sorted")


def _check_categories(arrays: Mapping[str, np.ndarray], features: Features) -> None:
    """Refuse categories that a column does not have, or has twice.

    The texts of a column of free texts are in no table of categories.
    """
    count = [len(one.values or ()) for one in features.texts]
    fills = arrays["text_fill"]
    for place, own in enumerate(fills):
        if own not in (-1, OWN):
            _check_between("text_fill", fills[place : place + 1], 0, count[place] - 1)
    columns, values = arrays["text_column"], arrays["text_value"]
    for place in np.unique(columns):
        _check_category("text_value", values[columns == place], count[place])
    for column, known, start in (
        ("known_column", "known", "known_start"),
        ("code_column", "code_known", "code_start"),
    ):
        for at, place in enumerate(arrays.get(column, ())):
            own = arrays[known][slice(*arrays[start][at : at + 2])]
            _check_category(known, own, count[place])


def _check_category(name: str, codes: np.ndarray, count: int) -> None:
    """Refuse the sorted categories of a column if they are not of its `count` texts."""
    _check_rising(name, codes)
    _check_between(name, codes[codes != OWN], 0, count - 1)


def _check_text(fit: TextFit) -> None:
    """Refuse the fit of a column of texts that no texts give."""
    words, vectors = fit.vocabulary, fit.vectors
    if len({*words}) < len(words):
        raise ValueError("token_bytes holds a token twice")
    if fit.weights is not None:
        if fit.weights.dtype.kind != "f" or fit.weights.shape != (len(words),):
            raise _unfit("weight", fit.weights)
        if not (fit.weights > 0).all():
            raise ValueError(f"weight holds {fit.weights.min():g}")
    if vectors is not None and (vectors.dtype.kind != "f" or vectors.shape[:-1] != (len(words),)):
        raise _unfit("vectors", vectors)
    if fit.merges is not None:
        _check_merges(fit.merges)


def _check_merges(merges: np.ndarray) -> None:
    """Refuse merges of tokens that come after them."""
    if merges.ndim != 2 or merges.shape[1] != 2 or merges.dtype.kind != "i":
        raise _unfit("merges", merges)
    later = merges >= _BYTES + np.arange(len(merges))[:, None]
    if (merges < 0).any() or later.any():
        raise ValueError("merges names a token that is not there")


def _check_rising(name: str, array: np.ndarray) -> None:
    if (array[1:] <= array[:-1]).any():
        raise ValueError(f"{name} is not sorted, or holds a number twice")


def _check_between(name: str, array: np.ndarray, low: int, high: int) -> None:
    wrong = array[(array < low) | (array > high)]
    if len(wrong):
        raise ValueError(f"{name} holds {wrong[0]}, which is not between {low} and {high}")


def _unfit(name: str, array: np.ndarray) -> ValueError:
    return ValueError(f"{name} has the shape {list(array.shape)} of {array.dtype.name}")
