"""New examples that are arrays: of an NPZ file, an IDX file, or a folder of images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hpo.data.readers import idx, images
from hpo.data.readers.npz import read_new_arrays
from hpo.data.readers.tables.examples import Table
from hpo.data.readers.tables.lines import FileRows, Rows
from hpo.data.source import Source
from hpo.data.transforms.features import Features
from hpo.errors import DataError

# The columns of the targets of arrays, and of the files of images.
TARGET, FILE = "y", "file"


def new_arrays(path: Path, features: Features, *, is_resized: bool) -> tuple[Source, Table]:
    """The examples at a path as arrays, and a table of what else is known of each row.

    The table has `y` and `weight` of an NPZ file; or the file of each image, and its folder as `y`.
    Images get the size of the training's only where it `is_resized`.

    Raises:
        DataError: for a file that is unfit, or examples of another shape or type.
    """
    import pandas as pd

    if not path.exists():
        raise DataError(f"{path}: there is no such file: correct the path.")
    columns: dict[str, Any] = {}
    masks = None
    if path.is_dir():
        found = images.files(path)
        if not found or len(features.shape) != 3:
            raise DataError(
                f"{path}: holds no image: give a folder of images, a .npz file with an array x, or "
                "an IDX file."
            )
        x = images.read_pixels(found, features.shape, is_resized=is_resized)
        columns[FILE] = [str(file.relative_to(path)) for file in found]
        columns[TARGET] = [file.parent.name for file in found]
    elif path.suffix.lower() == ".npz":
        arrays = read_new_arrays(path)
        x = arrays.pop("x")
        if arrays.get(TARGET, x[:0]).shape == x.shape[:3] and x.ndim == 4:
            masks = arrays.pop(TARGET)
        for name, array in arrays.items():
            if name == TARGET and array.ndim == 3 and x.ndim == 4:
                raise DataError(
                    f"{path}: masks y have the shape {list(array.shape)}, and images x "
                    f"{list(x.shape)}: save y as {list(x.shape[:3])}, a class for each pixel."
                )
            if array.ndim != 1 or len(array) != len(x):
                raise DataError(
                    f"{path}: {name} has the shape {list(array.shape)}, and x has {len(x)} rows: "
                    "save one value for each row."
                )
            columns[name] = array
    elif "-idx3-" in path.name:
        x = idx.read_array(path, idx.IMAGES)[..., None]
    else:
        raise DataError(
            f"{path}: its name says no arrays: give a .npz file with an array x, an IDX file, or a "
            "folder of images."
        )
    frame = pd.DataFrame(columns, index=range(len(x)))
    y = np.zeros(len(x)) if masks is None else masks
    source = Source(x=checked_arrays(x, features, str(path)), y=y, target=str(path))
    return source, Table(path, frame, Rows([FileRows(path, len(x))]))


def with_masks(source: Source, classes: tuple[str, ...]) -> Source:
    """Images with the class of each pixel, by the masks of the training.

    Raises:
        DataError: for images without masks, or a class that no pixel trained.
    """
    if source.y.shape != source.x.shape[:3]:
        raise DataError(
            f"{source.target}: has no masks by which answers are judged: save y as [rows, height, "
            "width] beside x in a .npz file."
        )
    known = np.array([*map(int, classes)])  # in rising order
    places = np.searchsorted(known, source.y).clip(max=len(known) - 1)
    is_new = known[places] != source.y
    if is_new.any():
        raise DataError(
            f"{source.target}: y holds {source.y[is_new][0]}, a class that the model does not "
            f"know: it knows {', '.join(classes[:10])}."
        )
    return replace(source, y=places.astype(np.int32), classes=classes)


def checked_arrays(x: np.ndarray, features: Features, path: str) -> np.ndarray:
    """The arrays in the type of the training's.

    Raises:
        DataError: for arrays of another shape or type.
    """
    if not len(x):
        raise DataError(f"{path}: has no row: give a file with one row an example.")
    if x.shape[1:] != features.shape:
        raise DataError(
            f"{path}: an example has the shape {list(x.shape[1:])}, and those of the training "
            f"{list(features.shape)}: save x as {['rows', *features.shape]}."
        )
    is_image = features.type == "uint8"
    if x.dtype.kind not in "biuf" or (is_image and x.dtype != np.uint8):
        wanted = "uint8, as images are" if is_image else "numbers"
        raise DataError(f"{path}: x is of type {x.dtype}: save {wanted}.")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        row = int(np.argwhere(~np.isfinite(x))[0][0])
        raise DataError(f"{path}: x is not finite in row {row}: fill it in, or leave the row out.")
    found: np.ndarray = np.ascontiguousarray(x, features.type)
    return found
