"""Reads data by a function of the user's own, which returns NumPy arrays.

The function runs in the process that trains, never in `hpo check`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from hpo.data.source import Source
from hpo.errors import DataError
from hpo.spec.code.frames import telling
from hpo.spec.code.own_code import arguments_of
from hpo.spec.code.own_data import OwnData, path_arguments
from hpo.spec.code.running import run_code
from hpo.spec.sections.data import DataSpec

_SPLITS, _ARRAYS = ("train", "validation", "test"), ("x", "y", "weight")
_SHAPES = "{x, y} (and weight), or {train, validation, test} of such mappings"


def source_paths(dataset: OwnData, folder: Path) -> list[Path]:
    """The files that the arrays depend on: the code, and those that its arguments name.

    Raises:
        DataError: for code or files that are missing.
    """
    if dataset.own.code is None:
        raise DataError(f"data.dataset.python: '{dataset.python}': {dataset.own.trouble}.")
    found = [dataset.own.code.file]
    for name, path in path_arguments(dataset, folder):
        try:
            is_folder = path.is_dir()
            inner = sorted(path.rglob("*")) if is_folder else [path]
            files = [file for file in inner if file.is_file()]
        except OSError as error:
            files, is_folder = [], False
            path = Path(f"{path} ({error.strerror})")
        if not files and not is_folder:
            raise DataError(
                f"data.dataset.{name}: there is no file or folder {path}: correct the path, which "
                "starts at the spec's folder."
            )
        found += files
    return found


def read_python(folder: Path, spec: DataSpec) -> Source:
    """The examples of `data.dataset: {python: data.py:load}`.

    Raises:
        CodeError: for an error of the user's own code.
        DataError: for a result that is no data set.
    """
    dataset = spec.dataset
    assert isinstance(dataset, OwnData)
    source_paths(dataset, folder)
    code = dataset.own.code
    assert code is not None
    given = arguments_of(dataset) | dict(path_arguments(dataset, folder))
    with telling(code, "data.dataset.python", given):
        found = run_code(code)(**given)
    return to_source(found, dataset)


def to_source(found: Any, dataset: OwnData) -> Source:
    """Examples from the result of a user's function.

    Raises:
        DataError: for a result that is no data set.
    """
    if not isinstance(found, Mapping):
        _refuse(dataset, f"returns a {type(found).__name__}: return a mapping {_SHAPES}")
    keys = [*map(str, found)]
    if keys and {*keys} <= {*_SPLITS} and "train" in keys:
        names = [name for name in _SPLITS if name in keys]
        parts = {name: _arrays(dataset, found[name], f"{name}: ") for name in names}
    elif {"x", "y"} <= {*keys} <= {*_ARRAYS}:
        parts = {"train": _arrays(dataset, found, "")}
    else:
        _refuse(dataset, f"returns a mapping with the keys {', '.join(keys)}: return {_SHAPES}")
    _check_alike(dataset, parts)
    targets = [part["y"] for part in parts.values()]
    y, classes = _encoded(dataset, np.concatenate(targets))
    sources, start = {}, 0
    for name, part in parts.items():
        rows = slice(start, start + len(part["y"]))
        start = rows.stop
        sources[name] = Source(
            x=part["x"],
            y=y[rows],
            target=f"{dataset.python}: target y",
            classes=classes,
            weight=part.get("weight"),
            is_count=dataset.task == "counts",
            is_multilabel=y.dtype == np.float32,
        )
    return replace(sources["train"], validation=sources.get("validation"), test=sources.get("test"))


def _arrays(dataset: OwnData, found: Any, where: str) -> dict[str, np.ndarray]:
    """The arrays of a split, checked."""
    if not isinstance(found, Mapping) or not {"x", "y"} <= {*found} <= {*_ARRAYS}:
        shown = ", ".join(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
        _refuse(dataset, f"{where}is {shown}: return a mapping of x, y and, if there are, weight")
    arrays = {name: np.asarray(found[name]) for name in _ARRAYS if found.get(name) is not None}
    x, y = arrays["x"], arrays["y"]
    if x.ndim < 2 or x.dtype.kind not in "biuf" or not x.size:
        _refuse(
            dataset,
            f"{where}x is an array {list(x.shape)} of type {x.dtype}: return numbers "
            "[rows, features], or [rows, height, width, channels] for images",
        )
    for name in ("y", "weight"):
        array = arrays.get(name)
        is_several = array is not None and name == "y" and array.ndim == 2 and array.shape[1] > 1
        if array is not None and array.shape[: 1 if is_several else None] != x.shape[:1]:
            _refuse(
                dataset,
                f"{where}{name} has the shape {list(array.shape)}, and x has {len(x)} rows: "
                f"return one value for each row, [{len(x)}]",
            )
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = int(np.argwhere(~np.isfinite(array))[0][0])
            what = f"{where}{name} is not finite in row {row}"
            _refuse(dataset, f"{what}: fill it in, or leave the row out")
    weight = arrays.get("weight")
    if weight is not None:
        if weight.dtype.kind not in "biuf" or (weight < 0).any():
            _refuse(dataset, f"{where}weight must be numbers of 0 or more: correct it")
        arrays["weight"] = weight.astype(np.float64)
    if y.dtype.kind not in "biufUO":
        _refuse(dataset, f"{where}y is of type {y.dtype}: return numbers or texts")
    is_image = x.dtype == np.uint8 and x.ndim > 2
    kind = np.float64 if x.ndim == 2 else np.uint8 if is_image else np.float32
    return {**arrays, "x": np.ascontiguousarray(x, kind)}


def _check_alike(dataset: OwnData, parts: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Refuse splits whose examples differ in shape or type, or of which only some have weights."""
    train = parts["train"]
    for name, part in parts.items():
        if (part["x"].shape[1:], part["x"].dtype) != (train["x"].shape[1:], train["x"].dtype):
            _refuse(
                dataset,
                f"{name}: an example has the shape {list(part['x'].shape[1:])} and type "
                f"{part['x'].dtype}, and in train {list(train['x'].shape[1:])} and "
                f"{train['x'].dtype}: return the same",
            )
        if part.keys() != train.keys():
            _refuse(dataset, f"{name} and train must both have weights, or neither: add them")


def _encoded(dataset: OwnData, y: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """The targets as class numbers and the names of the classes, or as numbers and no names."""
    is_text = y.dtype.kind in "UO"
    if y.ndim == 2:
        return _several(dataset, y), ()
    if dataset.task == "multilabel":
        _refuse(dataset, "y is one target, and multilabel has several: return [rows, labels]")
    is_class = dataset.task == "classification" or (dataset.task == "auto" and y.dtype.kind != "f")
    if is_class:
        if y.dtype.kind == "f" and (y != np.floor(y)).any():
            _refuse(dataset, "y has fractions, which are no classes: set data.dataset.task")
        values, numbers = np.unique(y.astype(str) if is_text else y, return_inverse=True)
        if len(values) < 2:
            _refuse(dataset, f"y has the one class {values[0]}: return two or more")
        names = (str(value) if is_text else str(int(value)) for value in values)
        return numbers.astype(np.int32), tuple(names)
    if is_text:
        _refuse(dataset, f"y holds texts, and data.dataset.task is {dataset.task}: return numbers")
    values = y.astype(np.float64)
    if dataset.task == "counts" and ((values < 0) | (values != np.floor(values))).any():
        _refuse(dataset, "y holds numbers that are no counts: return whole numbers from 0")
    return values, ()


def _several(dataset: OwnData, y: np.ndarray) -> np.ndarray:
    """Several targets: labels of 0 and 1 in float32, or quantities in float64."""
    if y.dtype.kind not in "biuf" or dataset.task in ("classification", "counts"):
        _refuse(dataset, "y has several columns: return numbers, and leave task out or change it")
    are_labels = bool(((y == 0) | (y == 1)).all())
    if dataset.task == "multilabel" and not are_labels:
        _refuse(dataset, "y holds other numbers than labels of 0 and 1: set data.dataset.task")
    return y.astype(np.float32 if are_labels and dataset.task != "regression" else np.float64)


def _refuse(dataset: OwnData, what: str) -> NoReturn:
    raise DataError(f"data.dataset.python: {dataset.python}: {what}.")
