"""Examples from named NumPy arrays, which a function or a file gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

import numpy as np

from hpo.data.source import Source
from hpo.errors import DataError

_SPLITS, _ARRAYS = ("train", "validation", "test"), ("x", "y", "weight")
SHAPES = "{x, y} (and weight), or {train, validation, test} of such mappings"


class Origin(NamedTuple):
    """Where arrays come from: the key of `data.dataset`, its value, the task as the spec has it.

    `verb` says what the user did to give the arrays, and does to correct them.
    """

    key: str
    title: str
    task: str
    verb: str

    def refuse(self, what: str) -> NoReturn:
        """Say what is wrong with the arrays.

        Raises:
            DataError: always.
        """
        raise DataError(f"data.dataset.{self.key}: {self.title}: {what}.")


def to_source(found: Mapping[str, Any], origin: Origin) -> Source:
    """Examples from arrays: `x`, `y` and perhaps `weight`, or splits of them.

    Raises:
        DataError: for arrays that are no data set.
    """
    keys = [*map(str, found)]
    if keys and {*keys} <= {*_SPLITS} and "train" in keys:
        names = [name for name in _SPLITS if name in keys]
        parts = {name: _arrays(origin, found[name], f"{name}: ") for name in names}
    elif {"x", "y"} <= {*keys} <= {*_ARRAYS}:
        parts = {"train": _arrays(origin, found, "")}
    else:
        origin.refuse(
            f"{origin.verb}s a mapping with the keys {', '.join(keys)}: {origin.verb} {SHAPES}"
        )
    _check_alike(origin, parts)
    targets = [part["y"] for part in parts.values()]
    y, classes = _encoded(origin, np.concatenate(targets))
    sources, start = {}, 0
    for name, part in parts.items():
        rows = slice(start, start + len(part["y"]))
        start = rows.stop
        sources[name] = Source(
            x=part["x"],
            y=y[rows],
            target=f"{origin.title}: target y",
            classes=classes,
            weight=part.get("weight"),
            is_count=origin.task == "counts",
            is_multilabel=y.dtype == np.float32,
        )
    return replace(
        sources["train"],
        validation=sources.get("validation"),
        test=sources.get("test"),
        notes=_void_notes(origin, classes) if y.ndim == 3 else (),
    )


def _void_notes(origin: Origin, classes: tuple[str, ...]) -> tuple[str, ...]:
    """That masks hold 255 beside small numbers, by which many sets mark pixels without a class."""
    if len(classes) < 3 or classes[-1] != "255" or int(classes[-2]) == 254:
        return ()
    return (
        f"{origin.title}: masks hold 255, which is a class as all others. If it marks pixels "
        "without a class, write class_weight: {255: 0} in data: then they train nothing, and "
        "metrics still count them.",
    )


def _arrays(origin: Origin, found: Any, where: str) -> dict[str, np.ndarray]:
    """The arrays of a split, checked."""
    if not isinstance(found, Mapping) or not {"x", "y"} <= {*found} <= {*_ARRAYS}:
        shown = ", ".join(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
        origin.refuse(
            f"{where}is {shown}: {origin.verb} a mapping of x, y and, if there are, weight"
        )
    arrays = {name: np.asarray(found[name]) for name in _ARRAYS if found.get(name) is not None}
    x, y = arrays["x"], arrays["y"]
    if x.ndim < 2 or x.dtype.kind not in "biuf" or not x.size:
        origin.refuse(
            f"{where}x is an array {list(x.shape)} of type {x.dtype}: {origin.verb} numbers "
            "[rows, features], or [rows, height, width, channels] for images",
        )
    for name in ("y", "weight"):
        array = arrays.get(name)
        is_several = array is not None and name == "y" and array.ndim == 2 and array.shape[1] > 1
        if array is not None and name == "y" and array.ndim == 3:
            _check_masks(origin, where, array, x)
        elif array is not None and array.shape[: 1 if is_several else None] != x.shape[:1]:
            origin.refuse(
                f"{where}{name} has the shape {list(array.shape)}, and x has {len(x)} rows: "
                f"{origin.verb} one value for each row, [{len(x)}]",
            )
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = int(np.argwhere(~np.isfinite(array))[0][0])
            what = f"{where}{name} is not finite in row {row}"
            origin.refuse(f"{what}: fill it in, or leave the row out")
    weight = arrays.get("weight")
    if weight is not None:
        if weight.dtype.kind not in "biuf" or (weight < 0).any():
            origin.refuse(f"{where}weight must be numbers of 0 or more: correct it")
        arrays["weight"] = weight.astype(np.float64)
    if y.dtype.kind not in "biufUO":
        origin.refuse(f"{where}y is of type {y.dtype}: {origin.verb} numbers or texts")
    is_image = x.dtype == np.uint8 and x.ndim > 2
    kind = np.float64 if x.ndim == 2 else np.uint8 if is_image else np.float32
    return {**arrays, "x": np.ascontiguousarray(x, kind)}


def _check_masks(origin: Origin, where: str, y: np.ndarray, x: np.ndarray) -> None:
    """Refuse masks that are no class for each pixel of the images."""
    if y.shape != x.shape[:3] or x.ndim != 4 or y.dtype.kind not in "bui":
        origin.refuse(
            f"{where}y is an array {list(y.shape)} of type {y.dtype}, and x has the shape "
            f"{list(x.shape)}: {origin.verb} a whole number for each pixel of images "
            "[rows, height, width, channels]"
        )


def _check_alike(origin: Origin, parts: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Refuse splits whose examples differ in shape or type, or of which only some have weights."""
    train = parts["train"]
    for name, part in parts.items():
        if (part["x"].shape[1:], part["x"].dtype) != (train["x"].shape[1:], train["x"].dtype):
            origin.refuse(
                f"{name}: an example has the shape {list(part['x'].shape[1:])} and type "
                f"{part['x'].dtype}, and in train {list(train['x'].shape[1:])} and "
                f"{train['x'].dtype}: {origin.verb} the same",
            )
        if part.keys() != train.keys():
            origin.refuse(f"{name} and train must both have weights, or neither: add them")


def _encoded(origin: Origin, y: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """The targets as class numbers and the names of the classes, or as numbers and no names."""
    is_text = y.dtype.kind in "UO"
    if y.ndim == 2:
        return _several(origin, y), ()
    if origin.task == "multilabel":
        origin.refuse(f"y is one target, and multilabel has several: {origin.verb} [rows, labels]")
    is_mask = y.ndim == 3
    if origin.task == "segmentation" and not is_mask:
        origin.refuse(
            f"y is one target a row, and segmentation has masks: {origin.verb} [rows, height, "
            "width]"
        )
    if is_mask and origin.task not in ("auto", "segmentation"):
        origin.refuse(f"y holds masks, and data.dataset.task is {origin.task}: leave it out")
    is_class = origin.task == "classification" or (origin.task == "auto" and y.dtype.kind != "f")
    if is_class or is_mask:
        if y.dtype.kind == "f" and (y != np.floor(y)).any():
            origin.refuse("y has fractions, which are no classes: set data.dataset.task")
        values, numbers = np.unique(y.astype(str) if is_text else y, return_inverse=True)
        if len(values) < 2:
            origin.refuse(f"y has the one class {values[0]}: {origin.verb} two or more")
        names = (str(value) if is_text else str(int(value)) for value in values)
        return numbers.reshape(y.shape).astype(np.int32), tuple(names)
    if is_text:
        origin.refuse(
            f"y holds texts, and data.dataset.task is {origin.task}: {origin.verb} numbers"
        )
    values = y.astype(np.float64)
    if origin.task == "counts" and ((values < 0) | (values != np.floor(values))).any():
        origin.refuse(f"y holds numbers that are no counts: {origin.verb} whole numbers from 0")
    return values, ()


def _several(origin: Origin, y: np.ndarray) -> np.ndarray:
    """Several targets: labels of 0 and 1 in float32, or quantities in float64."""
    if y.dtype.kind not in "biuf" or origin.task in ("classification", "counts"):
        origin.refuse(
            f"y has several columns: {origin.verb} numbers, and leave task out or change it"
        )
    are_labels = bool(((y == 0) | (y == 1)).all())
    if origin.task == "multilabel" and not are_labels:
        origin.refuse("y holds other numbers than labels of 0 and 1: set data.dataset.task")
    return y.astype(np.float32 if are_labels and origin.task != "regression" else np.float64)
