"""Features in a smaller type, as they lie on a device until a step scales them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hpo.data import mapped
from hpo.data.dataset import SPLITS, DataSet, Scale, Split, of_folds, scale_of, scaled
from hpo.data.sequences.windows import Windows
from hpo.data.transforms.by_column import pieces_of
from hpo.errors import DataError
from hpo.spec.sections.storage import Storage

# By these numbers a step takes features of float16 as they are.
_AS_THEY_ARE: Scale = np.zeros(1, np.float32), np.ones(1, np.float32)
# The last of the whole numbers from 0 that float16 holds without a gap.
_MOST_CODES = 2048


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
    for name in SPLITS:
        split: Split | None = getattr(data, name)
        if split is not None:
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
