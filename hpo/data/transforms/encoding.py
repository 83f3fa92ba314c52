"""Categories as numbers: one-hot, places in sorted order, mean targets, and hashes.

Categories are codes, the same for equal texts. An empty cell is -1, and `OWN` once it is filled
with a category of its own. Fits are named arrays of the training rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hpo.data.source import Source
from hpo.spec.sections.columns import Treatment

# The code of empty cells that are a category of their own; no text has it.
OWN = np.iinfo(np.int32).max
# Training rows take the mean targets of the other parts, as in scikit-learn.
PARTS = 5


def fit_one_hot(categories: np.ndarray, treatments: Sequence[Treatment]) -> dict[str, np.ndarray]:
    """What fills empty texts of each column, and the one-hot columns.

    Columns that are encoded otherwise have no one-hot columns. Empty cells of words are filled with
    `OWN`, which is an empty text.
    """
    fill = np.full(categories.shape[1], -1, np.int32)
    columns, values = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    for column, (codes, treatment) in enumerate(zip(categories.T, treatments, strict=True)):
        found, counts = np.unique(codes[codes >= 0], return_counts=True)
        if not len(found):  # a column that is empty in every training row is no feature
            continue
        fill[column] = found[counts.argmax()]  # the first of equally frequent ones
        if treatment.impute == "constant" or treatment.type == "text":
            fill[column] = OWN
            found = np.append(found, np.int32(OWN)) if (codes < 0).any() else found
        if treatment.is_one_hot:
            columns.append(np.full(len(found), column, np.int32))
            values.append(found)
    return {
        "text_fill": fill,
        "text_column": np.concatenate(columns),
        "text_value": np.concatenate(values),
    }


def fit_known(
    codes: np.ndarray, fill: np.ndarray, treatments: Sequence[Treatment], source: Source
) -> dict[str, np.ndarray]:
    """The categories of columns that become their places or mean targets, sorted, and the means.

    `codes` are filled. `known` holds the categories of one column after those of another, which
    starts at its `known_start`.
    """
    found: dict[str, np.ndarray] = {}
    places = [
        column
        for column, one in enumerate(treatments)
        if one.type != "text" and one.encode in ("ordinal", "target") and fill[column] >= 0
    ]
    if not places:
        return found
    known = [np.unique(codes[:, column]) for column in places]
    found["known_column"] = np.array(places, np.int32)
    found["known"] = np.concatenate(known).astype(np.int32)
    found["known_start"] = np.cumsum([0, *map(len, known)])
    is_target = np.array([treatments[column].encode == "target" for column in places])
    if is_target.any():
        found["known_is_target"] = is_target
        targets = _targets(source)
        parts = training_parts(len(source))
        means = [np.zeros((PARTS + 1, len(one), targets.shape[1])) for one in known]
        prior = np.empty((PARTS + 1, targets.shape[1]))
        for part in range(PARTS + 1):
            rows = np.flatnonzero(parts != part)
            # With less than 2 rows in a part, the other parts may be empty.
            rows = rows if len(rows) else np.arange(len(source))
            prior[part] = targets[rows].mean(axis=0)
            for place, (column, one) in enumerate(zip(places, known, strict=True)):
                if is_target[place]:
                    index = np.searchsorted(one, codes[rows, column])
                    smoothing = treatments[column].smoothing
                    means[place][part] = _means(index, targets[rows], len(one), smoothing)
        found["target_means"] = np.concatenate(means, axis=1)
        found["target_prior"] = prior
    return found


def training_parts(rows: int) -> np.ndarray:
    """The part of each training row, whose mean targets are those of the rows of other parts."""
    order = np.random.Generator(np.random.Philox(0)).permutation(rows)
    parts = np.empty(rows, np.int8)
    parts[order] = np.arange(rows) % PARTS
    return parts


def _targets(source: Source) -> np.ndarray:
    """What is averaged: the target; 0 and 1 for two classes; a column for each of more classes.

    Of several targets, each.
    """
    if not source.classes:
        return source.y.astype(np.float64).reshape(len(source), -1)
    if len(source.classes) == 2:
        return source.y.astype(np.float64)[:, None]
    is_class: np.ndarray = source.y[:, None] == np.arange(len(source.classes))
    return is_class.astype(np.float64)


def _means(
    index: np.ndarray, targets: np.ndarray, count: int, smoothing: float | str
) -> np.ndarray:
    """The smoothed mean target of each category, `[count, targets]`.

    Source: Micci-Barreca 2001, "A preprocessing scheme for high-cardinality categorical
    attributes", Equations 3 to 7, as scikit-learn's TargetEncoder has them.
    """
    rows = np.bincount(index, minlength=count).astype(np.float64)
    means = np.empty((count, targets.shape[1]))
    for column, y in enumerate(targets.T):
        prior, sums = y.mean(), np.bincount(index, weights=y, minlength=count)
        with np.errstate(divide="ignore", invalid="ignore"):
            if smoothing == "auto":
                own = sums / rows
                spread = np.bincount(index, weights=(y - own[index]) ** 2, minlength=count)
                share = y.var() * rows / (y.var() * rows + spread / rows)
                mean = share * own + (1 - share) * prior
            else:
                mean = (sums + float(smoothing) * prior) / (rows + float(smoothing))
        means[:, column] = np.where(np.isnan(mean), prior, mean)
    return means


def known_features(
    arrays: Mapping[str, np.ndarray], codes: np.ndarray, parts: np.ndarray | None
) -> np.ndarray:
    """The places in sorted order and mean targets of filled codes, float64 `[N, features]`.

    An unknown category has the place -1 and the overall mean. `parts` are those of training rows.
    """
    starts, found = arrays["known_start"], []
    is_target = arrays.get("known_is_target", np.zeros(len(starts) - 1, bool))
    for place, column in enumerate(arrays["known_column"]):
        known = arrays["known"][starts[place] : starts[place + 1]]
        index = np.minimum(np.searchsorted(known, codes[:, column]), len(known) - 1)
        is_known = known[index] == codes[:, column]
        if not is_target[place]:
            found.append(np.where(is_known, index, -1)[:, None])
            continue
        part = np.full(len(codes), PARTS) if parts is None else parts
        means = arrays["target_means"][part, starts[place] + index]
        found.append(np.where(is_known[:, None], means, arrays["target_prior"][part]))
    return np.concatenate(found, axis=1).astype(np.float64)


def fit_hashes(fill: np.ndarray, treatments: Sequence[Treatment]) -> dict[str, np.ndarray]:
    """The columns that are hashed, and the features that each becomes."""
    columns = [
        column
        for column, one in enumerate(treatments)
        if one.type != "text" and one.encode == "hashing" and fill[column] >= 0
    ]
    if not columns:
        return {}
    buckets = [treatments[column].buckets for column in columns]
    return {"hash_column": np.array(columns, np.int32), "hash_buckets": np.array(buckets, np.int32)}


def hash_features(
    arrays: Mapping[str, np.ndarray], codes: np.ndarray, values: Sequence[Sequence[str]]
) -> np.ndarray:
    """One feature of each hashed column is 1: that of the text's hash, float32 `[N, features]`.

    Equals scikit-learn's FeatureHasher without signs. An empty cell that is a category of its own
    has the hash of the empty text.
    """
    found = []
    for column, buckets in zip(arrays["hash_column"], arrays["hash_buckets"], strict=True):
        different, index = np.unique(codes[:, column], return_inverse=True)
        texts = ["" if code == OWN else values[column][code] for code in different]
        bucket = np.array([_hash_bucket(text, int(buckets)) for text in texts], np.int64)
        is_one: np.ndarray = bucket[index][:, None] == np.arange(buckets)
        found.append(is_one.astype(np.float32))
    return np.concatenate(found, axis=1)


def _hash_bucket(text: str, buckets: int) -> int:
    """The bucket of a text: MurmurHash3 (32 bits, seed 0) of its UTF-8, as a signed number."""
    data, hashed = text.encode("utf-8", "surrogatepass"), 0
    for start in range(0, len(data), 4):
        word = int.from_bytes(data[start : start + 4], "little") * 0xCC9E2D51 & 0xFFFFFFFF
        word = (word << 15 | word >> 17) & 0xFFFFFFFF
        hashed ^= word * 0x1B873593 & 0xFFFFFFFF
        if start + 4 <= len(data):
            hashed = (hashed << 13 | hashed >> 19) & 0xFFFFFFFF
            hashed = (hashed * 5 + 0xE6546B64) & 0xFFFFFFFF
    hashed ^= len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        hashed = (hashed ^ hashed >> shift) * factor & 0xFFFFFFFF
    hashed ^= hashed >> 16
    return abs(hashed - (1 << 32) if hashed >> 31 else hashed) % buckets
