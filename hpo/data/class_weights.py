"""Weights of classes, and what to say of classes of very different sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hpo.data.dataset import DataSet, Split, apart, of_folds
from hpo.errors import DataError
from hpo.spec.sections.data import ClassWeight, DataSpec
from hpo.spec.words import shown

# A class with fewer rows than this share of the largest one is worth a word.
_LEAST_SHARE = 0.1
# Classes that a message names.
_MOST_NAMED = 10


def weighed(data: DataSet, asked: ClassWeight) -> DataSet:
    """`data` whose training rows, or those of each fold, have the weights of their classes too.

    Balanced classes have the same total weight. The mean weight of the rows stays 1. Extra rows
    have the weights of their classes. Rows of the other splits keep theirs, so that metrics stay
    what they are. Where every pixel has a class, weights are those of pixels.

    Raises:
        DataError: for a target without classes, and for a class that it does not have.
    """
    if asked == "none":
        return data
    if data.task not in ("classification", "segmentation"):
        what = asked if isinstance(asked, str) else "it"
        raise DataError(
            f"data.class_weight: {what} weighs classes, and this is {data.task}: leave it out."
        )
    if data.train.scale is not None:
        data = apart(data)  # a row has another weight in each fold
    shared = data.train.shared
    weight = np.array(shared.get("weight", np.ones(len(shared["y"]))), np.float32)
    if data.positions:
        weight = np.ones_like(shared["y"], np.float32) * weight[:, None, None]
    for one in data.members:
        y, own = one.train.y, weight[one.train.rows]
        totals = np.bincount(y.ravel(), weights=own.ravel(), minlength=data.outputs)
        factors = _factors(asked, data.classes, totals)
        weight[one.train.rows] = (own * factors[y]).astype(np.float32)
        if one.extra is not None:
            weight[one.extra.rows] *= factors[one.extra.y].astype(np.float32)
    arrays = {**shared, "weight": weight}
    members = [_with(one, arrays) for one in data.members]
    return of_folds(members) if data.folds else members[0]


def _factors(asked: ClassWeight, classes: Sequence[str], totals: np.ndarray) -> np.ndarray:
    """What multiplies the weights of each class, from the total weight of each."""
    if isinstance(asked, str):
        balanced: np.ndarray = totals.sum() / (len(totals) * np.where(totals > 0, totals, np.inf))
        return balanced
    for name in asked:
        if name not in classes:
            raise DataError(
                f"data.class_weight: there is no class {shown(name)}: write some of "
                f"{', '.join(map(shown, classes[:_MOST_NAMED]))}."
            )
    factors = np.array([asked.get(name, 1.0) for name in classes])
    total = float(totals @ factors)
    if not total:
        raise DataError("data.class_weight: all training rows have the weight 0: correct it.")
    named: np.ndarray = factors * totals.sum() / total
    return named


def _with(data: DataSet, arrays: Mapping[str, np.ndarray]) -> DataSet:
    """The data set with other arrays of as many rows."""
    splits: dict[str, Any] = {
        name: Split(arrays, split.rows) for name, split in data.splits.items()
    }
    return replace(data, **splits)


def imbalance(data: DataSet, spec: DataSpec) -> str | None:
    """A sentence about classes of very different sizes, unless the spec says `class_weight`."""
    if data.task != "classification" or "class_weight" in spec.model_fields_set:
        return None
    counts = np.bincount(data.train.y, minlength=data.outputs)
    least, most = int(counts.argmin()), int(counts.argmax())
    if counts[least] >= _LEAST_SHARE * counts[most]:
        return None
    few, many = (
        f"{shown(data.classes[k]) if data.classes else k} has {counts[k]:,}" for k in (least, most)
    )
    return (
        f"The classes are unbalanced: {few} of {counts.sum():,} training rows, and {many}. Write "
        "class_weight: balanced in data to weigh them alike, or none to leave them."
    )
