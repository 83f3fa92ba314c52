"""Weights of classes, and what to say of classes of very different sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hpo.data.dataset import SPLITS, DataSet, Split, apart, of_folds
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec
from hpo.spec.words import shown

# A class with fewer rows than this share of the largest one is worth a word.
_LEAST_SHARE = 0.1


def weighed(data: DataSet) -> DataSet:
    """`data` in which all classes of the training split, or of each fold's, have the same weight.

    The mean weight of its rows stays 1. Rows of the other splits keep their weights, so that
    metrics stay what they are.

    Raises:
        DataError: for a target without classes.
    """
    if data.task != "classification":
        raise DataError(
            f"data.class_weight: balanced weighs classes, and this is {data.task}: leave it out."
        )
    if data.train.scale is not None:
        data = apart(data)  # a row has another weight in each fold
    shared = data.train.shared
    weight = np.array(shared.get("weight", np.ones(len(shared["y"]))), np.float32)
    for one in data.members:
        y, own = one.train.y, weight[one.train.rows]
        totals = np.bincount(y, weights=own, minlength=data.outputs)
        factors = totals.sum() / (data.outputs * np.where(totals > 0, totals, np.inf))
        weight[one.train.rows] = (own * factors[y]).astype(np.float32)
    arrays = {**shared, "weight": weight}
    members = [_with(one, arrays) for one in data.members]
    return of_folds(members) if data.folds else members[0]


def _with(data: DataSet, arrays: Mapping[str, np.ndarray]) -> DataSet:
    """The data set with other arrays of as many rows."""
    splits: dict[str, Any] = {name: getattr(data, name) for name in SPLITS}
    for name, split in splits.items():
        splits[name] = None if split is None else Split(arrays, split.rows)
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
