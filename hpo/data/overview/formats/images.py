"""A look at a data set of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hpo.data.overview.overview import Overview, Target
from hpo.data.readers.idx import TRAIN_FILES, has_test_files, look


def look_at_idx(folder: Path, written: str) -> Overview | None:
    """What the headers and the labels of a folder of IDX files show. None for other folders.

    Raises:
        DataError: if a file is missing or broken.
    """
    if not folder.is_dir():
        return None
    if not any((folder / f"{name}{end}").exists() for name in TRAIN_FILES for end in ("", ".gz")):
        return None
    shape, labels = look(folder)
    values, counts = np.unique(labels, return_counts=True)
    names = [str(value) for value in values.tolist()]
    classes = dict(zip(names, counts.tolist(), strict=True))
    return images_overview(
        folder.name, {"idx": written}, (*shape, 1), classes, has_test=has_test_files(folder)
    )


def images_overview(
    name: str, dataset: Any, shape: tuple[int, ...], classes: dict[str, int], *, has_test: bool
) -> Overview:
    """A data set of images of `[height, width, channels]`, with the rows of each class."""
    rows = sum(classes.values())
    ordered = dict(sorted(classes.items(), key=lambda item: -item[1]))
    target = Target(("label",), "classification", "a label for each image", "labels", ordered)
    return Overview(
        name=name,
        dataset=dataset,
        rows=rows,
        seen=rows,
        is_whole=True,
        target=target,
        shape=shape,
        options={"test": "auto" if has_test else 0.2},
        reasons={"test": "files of its own"} if has_test else {},
        features=int(np.prod(shape)),
    )
