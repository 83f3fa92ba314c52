"""Rows that train beside those of the training split: `data.extra`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hpo.data import mapped
from hpo.data.dataset import DataSet, Split, of_folds
from hpo.data.new.labelled import labelled
from hpo.data.source import Source, fingerprint_of
from hpo.spec.sections.data import DataSpec


def with_extra(data: DataSet, spec: DataSpec, folder: Path) -> DataSet:
    """`data` with the rows of the file that `data.extra` names, or each of its folds with them.

    What was fitted on training rows encodes and scales them. They lie before the rows that test,
    so that a device holds one stretch of rows.

    Raises:
        DataError: for a file that is missing, broken or unfit.
    """
    assert spec.extra is not None
    source = labelled("data.extra", spec.extra, folder, data, spec)
    members, shared, start = data.members, data.train.shared, len(data.resident["y"])
    pieces = [_arrays(one, source) for one in members]
    # Folds of images share them as read.
    pieces = pieces if data.train.scale is None else pieces[:1]
    count, rows = len(source), len(source) * len(pieces)
    arrays: dict[str, np.ndarray] = {}
    for name, array in shared.items():
        own = arrays[name] = mapped.empty((len(array) + rows, *array.shape[1:]), array.dtype)
        own[:start], own[start + rows :] = array[:start], array[start:]
        own[start : start + rows] = 0  # a fold may lack a text, and with it the last features
        for number, piece in enumerate(pieces):
            place = own[start + number * count : start + (number + 1) * count]
            place[..., : piece[name].shape[-1]] = piece[name]
    found = []
    for number, one in enumerate(members):
        splits: dict[str, Any] = {
            name: Split(arrays, _moved(split, start, rows), split.scale)
            for name, split in one.splits.items()
        }
        first = start + (number * count if len(pieces) > 1 else 0)
        extra = Split(arrays, slice(first, first + count), one.train.scale)
        digest = fingerprint_of([source], one.fingerprint, with_texts=True)
        found.append(replace(one, **splits, extra=extra, fingerprint=digest))
    return of_folds(found) if data.folds else found[0]


def _arrays(data: DataSet, source: Source) -> dict[str, np.ndarray]:
    """The arrays of extra rows, as the data set or the fold has them."""
    pixels, fit = data.train.scale is not None, data.transform
    x = fit.pixels(source.x) if pixels else fit.apply(source)
    found = {"x": x, "y": data.transform.apply_target(source)}
    if source.weight is not None:
        found["weight"] = (source.weight / data.features.weight_mean).astype(np.float32)
    return found


def _moved(split: Split, start: int, rows: int) -> slice | np.ndarray:
    """The rows of a split, once `rows` others lie at the place `start`."""
    if isinstance(split.rows, np.ndarray) or split.rows.start < start:
        return split.rows
    return slice(split.rows.start + rows, split.rows.stop + rows)
