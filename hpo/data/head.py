"""What the head of a data set's files shows: the inspector behind `hpo check`.

No file is read whole, and neither NumPy nor pandas is imported.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from hpo.data.files import MissingDownloadError, find_own, key_of, looked_for, used_splits
from hpo.errors import DataError
from hpo.registry import DATASETS, load
from hpo.spec.code.own_data import OwnData, path_arguments
from hpo.spec.file.urls import is_url
from hpo.spec.sections.data import DataSpec, Task
from hpo.spec.words import shown


class HeadMistake(NamedTuple):
    """A mistake in the data, and the path below `data` in the spec that it belongs to."""

    path: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Head:
    """What `hpo check` tells of a data set: how much it has seen, mistakes and notes.

    `task` is that of its target, where the spec leaves it to the data and the head shows it.
    """

    seen: str = ""
    mistakes: tuple[HeadMistake, ...] = ()
    notes: tuple[str, ...] = ()
    task: Task | None = None


def inspect_data(spec: DataSpec, folder: Path, home: Path | None) -> Head:
    """What the head of the files of a data set shows; paths start at `folder`, then at `home`."""
    found = _inspected(spec, folder, home)
    own = {("extra",): spec.extra, ("corrupt", "from"): spec.corrupt.file}
    missing = tuple(
        HeadMistake(path, f"there is no {shown(file)} in {folder}: correct the path")
        for path, file in own.items()
        if file is not None and not (folder / Path(file).expanduser()).exists()
    )
    return replace(found, mistakes=(*found.mistakes, *missing))


def _inspected(spec: DataSpec, folder: Path, home: Path | None) -> Head:
    if isinstance(spec.dataset, str):
        return _named(spec.dataset, home)
    key = key_of(spec.dataset)
    if isinstance(spec.dataset, OwnData):
        missing = [n for n, path in path_arguments(spec.dataset, folder) if not path.exists()]
        text = "is not there: correct the path, which starts at the spec's folder"
        return Head(mistakes=tuple(HeadMistake(("dataset", name), text) for name in missing))
    if is_url(path := getattr(spec.dataset, key)):
        return Head(notes=(_unseen(path),))
    try:
        entry, where = find_own(spec.dataset, folder, home)
        found: Head = load(entry.head)(where, spec) if entry.head else Head()
        for name, path in used_splits(spec).items():
            if is_url(path):
                found = replace(found, notes=(*found.notes, _unseen(path)))
                continue
            own: Head = load(entry.head)(looked_for(path, name, entry, folder, home), spec)
            mistakes = [HeadMistake(("dataset", name), text) for _, text in own.mistakes]
            found = replace(found, mistakes=(*found.mistakes, *mistakes))
    except MissingDownloadError as error:
        return Head(notes=(str(error),))
    except DataError as error:
        text = str(error).removeprefix(f"data.dataset.{key}: ")
        return Head(mistakes=(HeadMistake(("dataset", key), text),))
    return found


def _unseen(url: str) -> str:
    return f"{url}: is fetched when a search starts, and not looked at here."


def _named(name: str, home: Path | None) -> Head:
    entry = DATASETS.get(name)
    if entry is None or not entry.files or (home is not None and load(entry.files)(home / name)):
        return Head()
    return Head(
        notes=(
            f"{name} is not on this machine: run `hpo data get {name}`, or set HPO_DATA to the "
            f"folder that holds {name}/.",
        )
    )
