"""Reads data by a function of the user's own, which returns NumPy arrays.

The function runs in the process that trains, never in `hpo check`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hpo.data.readers.arrays import SHAPES, Origin, to_source
from hpo.data.source import Source
from hpo.errors import DataError
from hpo.spec.code.frames import telling
from hpo.spec.code.own_code import arguments_of
from hpo.spec.code.own_data import OwnData, path_arguments
from hpo.spec.code.running import run_code
from hpo.spec.sections.data import DataSpec


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
    origin = Origin("python", dataset.python, dataset.task, "return")
    if not isinstance(found, Mapping):
        origin.refuse(f"returns a {type(found).__name__}: return a mapping {SHAPES}")
    return to_source(found, origin)
