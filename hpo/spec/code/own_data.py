"""Data of a user's own, `data: {dataset: {python: data.py:load}}`: a function that gives arrays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from hpo.spec.code.own_code import OwnCode

# Arguments of these names are paths, and so are those with the annotation `Path`.
PATHS = ("path", "file", "folder")


class OwnData(OwnCode):
    """Data of your own, from a function that gives arrays; its arguments are further keys."""

    task: Literal[
        "auto", "classification", "regression", "counts", "multilabel", "segmentation"
    ] = "auto"
    """`auto`: texts and whole numbers are classes, numbers with a fraction a regression; whole
    numbers `[rows, height, width]` are the classes of pixels, a segmentation."""


def path_arguments(dataset: OwnData, folder: Path) -> Iterator[tuple[str, Path]]:
    """The arguments of a function that are paths, with their names; they start at `folder`."""
    for argument in dataset.own.signature.arguments:
        value = getattr(dataset, argument.name, None)
        kinds = argument.annotation.replace("pathlib.", "").replace(" ", "").split("|")
        if isinstance(value, str) and (argument.name in PATHS or "Path" in kinds):
            yield argument.name, folder / Path(value).expanduser()
