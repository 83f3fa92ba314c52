"""A look at arrays that a reader has read whole: named data sets, and NPZ files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hpo.data.overview.formats.images import images_overview
from hpo.data.overview.kinds import kinds_of
from hpo.data.overview.overview import ColumnOverview, Overview, Target
from hpo.data.readers.npz import read_npz
from hpo.data.source import Source
from hpo.spec.sections.data import DataSpec, NpzFile, Task

_WHY = "as the data set says"


def look_at_npz(path: Path, written: str) -> Overview | None:
    """What the arrays in an NPZ file hold. None for other files.

    Raises:
        DataError: for a broken file, or one whose arrays are no data set.
    """
    if path.suffix != ".npz" or not path.is_file():
        return None
    source = read_npz(path, DataSpec(dataset=NpzFile(npz=str(path)), test=0.2))
    return source_overview(path.name, {"npz": written}, source)


def source_overview(name: str, dataset: Any, source: Source) -> Overview:
    """What examples hold that a reader has read; `dataset` is what a spec says of them."""
    counts = np.bincount(source.y.ravel()) if source.classes else np.zeros(0, int)
    classes = dict(zip(source.classes, counts.tolist(), strict=True))
    if source.x.ndim > 2:
        has_test = source.test is not None
        images = images_overview(name, dataset, source.x.shape[1:], classes, has_test=has_test)
        size, target = len(source), _target(source, classes)
        return replace(images, rows=size, seen=size, target=target)
    import pandas as pd

    titles = source.names or [f"column_{place}" for place in range(1, source.x.shape[1] + 1)]
    columns = [
        ColumnOverview(cells.name, cells.kind, cells.gaps, cells.distinct, cells.example)
        for cells in kinds_of(pd.DataFrame(source.x, columns=[*titles]))
    ]
    return Overview(
        name=name,
        dataset=dataset,
        rows=len(source),
        seen=len(source),
        is_whole=True,
        target=_target(source, classes),
        columns=tuple(columns),
        options={"test": "auto"} if source.test is not None else {},
        features=source.x.shape[1],
    )


def _target(source: Source, classes: Mapping[str, int]) -> Target:
    """The one target of a row, several of them by their places, or its mask."""
    ordered = dict(sorted(classes.items(), key=lambda item: -item[1]))
    if source.y.ndim == 3:
        return Target(("mask",), "segmentation", _WHY, "a class for each pixel", ordered)
    if source.y.ndim == 1:
        task: Task = "classification" if classes else "regression"
        name = "label" if source.x.ndim > 2 else "target"
        return Target((name,), task, _WHY, _WHY, ordered)
    names = tuple(f"target_{place}" for place in range(1, source.y.shape[1] + 1))
    if not source.is_multilabel:
        return Target(names, "regression", _WHY, "several columns of numbers")
    rows = dict(zip(names, source.y.sum(axis=0).astype(int).tolist(), strict=True))
    return Target(names, "multilabel", _WHY, "several columns of 0 and 1", rows)
