"""A look at a data set of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hpo.data.overview.overview import Overview, Target
from hpo.data.readers.idx import TRAIN_FILES, has_test_files, look
from hpo.data.readers.images import files as image_files
from hpo.data.readers.images import look_at_folder

_IMAGES_TO_OPEN = 50
_MOST_SIDE = 64  # what trains in minutes


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


def look_at_images(folder: Path, written: str) -> Overview | None:
    """The classes of a folder of images, and the size of the first ones. None for other folders.

    Raises:
        DataError: for a folder without classes, or a broken image.
    """
    if not folder.is_dir() or next(iter(image_files(folder)), None) is None:
        return None
    found = look_at_folder(folder, _IMAGES_TO_OPEN)
    dataset: dict[str, Any] = {"images": written}
    if len({*found.sizes}) > 1:
        middle = np.median(found.sizes, axis=0)
        side = max(16, min(_MOST_SIDE, int(middle.min()) // 8 * 8))
        dataset["size"] = side
        shape: tuple[int, ...] = (side, side)
    else:
        shape = found.sizes[0]
        if max(shape) > 2 * _MOST_SIDE:
            dataset["size"] = _MOST_SIDE
            shape = (_MOST_SIDE, _MOST_SIDE)
    channels = 1 if found.is_grey else 3
    return images_overview(
        folder.name, dataset, (*shape, channels), found.classes, has_test=found.has_test
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
