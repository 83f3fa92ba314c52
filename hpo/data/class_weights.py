"""Weights of classes, and what to say of classes of very different sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec
from hpo.spec.words import shown

# A class with fewer rows than this share of the largest one is worth a word.
_LEAST_SHARE = 0.1


def weighed(data: DataSet) -> DataSet:
    """`data` in which all classes of the training split have the same total weight.

    The mean weight of its rows stays 1. Rows of the other splits keep their weights, so that
    metrics stay what they are.

    Raises:
        DataError: for a target without classes.
    """
    if data.task != "classification":
        raise DataError(
            f"data.class_weight: balanced weighs classes, and this is {data.task}: leave it out."
        )
    y, weight = data.train.y, _weight(data.train)
    totals = np.bincount(y, weights=weight, minlength=data.outputs)
    factors = totals.sum() / (data.outputs * np.where(totals > 0, totals, np.inf))
    return replace(
        data,
        train=_with(data.train, (weight * factors[y]).astype(np.float32)),
        validation=_with(data.validation, _weight(data.validation)),
        test=None if data.test is None else _with(data.test, _weight(data.test)),
    )


def _weight(split: Split) -> np.ndarray:
    return split.arrays.get("weight", np.ones(len(split), np.float32))


def _with(split: Split, weight: np.ndarray) -> Split:
    return Split({**split.arrays, "weight": weight})


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
