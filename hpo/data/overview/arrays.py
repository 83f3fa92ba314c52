"""A look at arrays that a reader has read whole: named data sets, and NPZ files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hpo.data.overview.formats.images import images_overview
from hpo.data.overview.kinds import kinds_of
from hpo.data.overview.overview import ColumnOverview, Overview, Target
from hpo.data.readers.npz import read_npz
from hpo.data.source import Source
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec, NpzFile, Task
from hpo.spec.words import shown

_WHY = "as the data set says"


def look_at_npz(path: Path, written: str) -> Overview | None:
    """What the arrays in an NPZ file hold. None for other files.

    Raises:
        DataError: for a broken file, or one whose arrays are no data set.
    """
    if path.suffix != ".npz" or not path.is_file():
        return None
    source = read_npz(path, DataSpec(dataset=NpzFile(npz=str(path)), test=0.2))
    if source.y.ndim > 1:
        raise DataError(
            f"{shown(path.name)}: has several targets for each row, for which hpo init writes no "
            "spec: see docs/tasks.md."
        )
    return source_overview(path.name, {"npz": written}, source)


def source_overview(name: str, dataset: Any, source: Source) -> Overview:
    """What examples hold that a reader has read; `dataset` is what a spec says of them."""
    counts = np.bincount(source.y) if source.classes else np.zeros(0, int)
    classes = dict(zip(source.classes, counts.tolist(), strict=True))
    if source.x.ndim > 2:
        has_test = source.test is not None
        return images_overview(name, dataset, source.x.shape[1:], classes, has_test=has_test)
    import pandas as pd

    titles = source.names or [f"column_{place}" for place in range(1, source.x.shape[1] + 1)]
    columns = [
        ColumnOverview(cells.name, cells.kind, cells.gaps, cells.distinct, cells.example)
        for cells in kinds_of(pd.DataFrame(source.x, columns=[*titles]))
    ]
    task: Task = "classification" if classes else "regression"
    ordered = dict(sorted(classes.items(), key=lambda item: -item[1]))
    return Overview(
        name=name,
        dataset=dataset,
        rows=len(source),
        seen=len(source),
        is_whole=True,
        target=Target(("target",), task, _WHY, _WHY, ordered),
        columns=tuple(columns),
        options={"test": "auto"} if source.test is not None else {},
        features=source.x.shape[1],
    )
