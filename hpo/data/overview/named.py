"""A look at a data set that a spec can name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hpo.data.overview.formats.images import images_overview, look_at_idx
from hpo.data.overview.kinds import kinds_of
from hpo.data.overview.overview import ColumnOverview, Overview, Target
from hpo.data.source import Source
from hpo.errors import DataError
from hpo.registry import DATASETS, function
from hpo.spec.sections.data import Task
from hpo.spec.words import unknown_name


def look_at_named(name: str, home: Path | None) -> Overview:
    """What a data set of `hpo data list` holds.

    Raises:
        DataError: for an unknown name, or a data set that is not on this machine.
    """
    if name not in DATASETS:
        raise DataError(unknown_name(name, DATASETS, "data set"))
    if DATASETS[name].files:
        found = None if home is None else look_at_idx(home / name, name)
        if found is None:
            raise DataError(f"{name}: is not on this machine: run `hpo data get {name}`.")
        return images_overview(name, name, found.shape, dict(found.target.classes), has_test=True)
    source: Source = function("dataset", name)()
    counts = np.bincount(source.y) if source.classes else np.zeros(0, int)
    classes = dict(zip(source.classes, counts.tolist(), strict=True))
    if source.x.ndim > 2:
        return images_overview(name, name, source.x.shape[1:], classes, has_test=False)
    return _table(name, source, classes)


def _table(name: str, source: Source, classes: dict[str, int]) -> Overview:
    import pandas as pd

    titles = source.names or [f"column_{place}" for place in range(1, source.x.shape[1] + 1)]
    frame = pd.DataFrame(source.x, columns=[*titles])
    columns = [
        ColumnOverview(cells.name, cells.kind, cells.gaps, cells.distinct, cells.example)
        for cells in kinds_of(frame)
    ]
    task: Task = "classification" if classes else "regression"
    ordered = dict(sorted(classes.items(), key=lambda item: -item[1]))
    return Overview(
        name=name,
        dataset=name,
        rows=len(source),
        seen=len(source),
        is_whole=True,
        target=Target(("target",), task, "as the data set says", "as the data set says", ordered),
        columns=tuple(columns),
        features=source.x.shape[1],
    )
