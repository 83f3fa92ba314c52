"""A first spec from a file: what `hpo init` writes, checked as `hpo check` does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpo.data.head import inspect_data
from hpo.data.overview.look import look_at
from hpo.data.overview.named import look_at_named
from hpo.data.overview.overview import Overview
from hpo.errors import DataError, HpoError
from hpo.registry import DATASETS
from hpo.report.init.budget import Budget, Preset, budget_for
from hpo.report.init.draft import draft
from hpo.spec.load import load_document
from hpo.spec.words import shown


@dataclass(frozen=True)
class FirstSpec:
    """The text of a first spec, what it was made from, and the size of its search."""

    text: str
    overview: Overview
    budget: Budget


def overview(data: str, folder: Path, home: Path | None, targets: Sequence[str] = ()) -> Overview:
    """What a look at data shows: a file, a folder, or a data set of `hpo data list`.

    A spec that names a file or folder stands in `folder`.

    Raises:
        HpoError: for data that are not there, or cannot be read.
    """
    if data in DATASETS and not targets and not Path(data).exists():
        return look_at_named(data, home)
    path = _find(data, home)
    return look_at(path, _as_written(path, data, folder, home), targets)


def first_spec(
    data: str,
    out: Path,
    home: Path | None,
    *,
    targets: Sequence[str] = (),
    preset: Preset = "good",
    timeout: float | None = None,
) -> FirstSpec:
    """A spec for a file or folder, to be written to `out`; it is valid, and fits the data's head.

    Raises:
        HpoError: for data that are not there, cannot be read, or that no spec can take.
    """
    cores = _cores()
    found = overview(data, out.parent, home, targets)
    budget = budget_for(found, preset, timeout, cores)
    made = draft(found, budget, cores, out.name)
    section = load_document(made.document, out.parent).training.data
    mistakes = inspect_data(section, out.parent, home).mistakes
    if mistakes:
        raise DataError(mistakes[0].text)
    return FirstSpec(made.text, found, budget)


def _find(data: str, home: Path | None) -> Path:
    wanted = Path(data).expanduser()
    places = [wanted] if home is None or wanted.is_absolute() else [wanted, home / wanted]
    try:
        for place in places:
            for path in (place, place.with_name(f"{place.name}.gz") if place.name else place):
                if path.exists():
                    return path
    except OSError as error:
        raise HpoError(f"{shown(data)} cannot be looked for ({error.strerror}).") from None
    where = " or ".join(str(place.parent) for place in places)
    raise HpoError(f"there is no file or folder {shown(data)} in {where}: correct the path.")


def _as_written(path: Path, data: str, folder: Path, home: Path | None) -> str:
    """The path as a spec in `folder` has it."""
    if home is not None and path.is_relative_to(home) and not Path(data).is_absolute():
        return path.relative_to(home).as_posix()
    relative = Path(os.path.relpath(path.absolute(), folder.absolute()))
    return str(path.resolve() if ".." in relative.parts else relative)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
