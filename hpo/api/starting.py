"""A first spec from a file: what `hpo init` writes, checked as `hpo check` does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpo.data.download import DOWNLOADS
from hpo.data.head import inspect_data
from hpo.data.overview.look import look_at
from hpo.data.overview.named import downloaded, look_at_named
from hpo.data.overview.overview import Overview
from hpo.engine.devices import core_count
from hpo.errors import DataError, HpoError
from hpo.registry import DATASETS
from hpo.report.init.budget import Budget, budget_for, written_budget
from hpo.report.init.draft import draft
from hpo.report.init.presets import Preset
from hpo.report.init.translated import config_draft, sweep_draft
from hpo.spec.file.document import parse_yaml
from hpo.spec.file.include import read_text
from hpo.spec.foreign.ludwig import from_ludwig
from hpo.spec.foreign.translation import Translation
from hpo.spec.foreign.wandb import from_wandb
from hpo.spec.load import load_document
from hpo.spec.words import shown


@dataclass(frozen=True)
class FirstSpec:
    """The text of a first spec, what it was made from, and the size of its search.

    The spec of a sweep has no `overview` and no `budget`. `lost` says what of a file of another
    tool has no place in it.
    """

    text: str
    overview: Overview | None = None
    budget: Budget | None = None
    lost: tuple[str, ...] = ()


def overview(data: str, folder: Path, home: Path | None, targets: Sequence[str] = ()) -> Overview:
    """What a look at data shows: a file, a folder, or a data set of `hpo data list`.

    A spec that names a file or folder stands in `folder`.

    Raises:
        HpoError: for data that are not there, or cannot be read.
    """
    if data in DATASETS and not targets and not Path(data).exists():
        return look_at_named(data, home)
    if data in DOWNLOADS and data not in DATASETS and not Path(data).exists():
        data = downloaded(data, home)
    path = _find(data, home)
    return look_at(path, _as_written(path, data, folder, home), targets)


def first_spec(
    data: str | None,
    out: Path,
    home: Path | None,
    *,
    targets: Sequence[str] = (),
    preset: Preset = "good",
    timeout: float | None = None,
    source: Path | None = None,
) -> FirstSpec:
    """A spec to be written to `out`; it is valid, and fits the head of its data.

    `data` is a file or folder. `source` is the file of another tool: a sweep of W&B, which needs no
    data, or a config of Ludwig.

    Raises:
        HpoError: for data that are not there, cannot be read, or that no spec can take.
    """
    found = None if source is None else _translated(source, data)
    if found is not None and source is not None and data is None:
        made = sweep_draft(found, source.name, out.name)
        made.document["command"]["folder"] = os.path.relpath(source.parent, out.parent)
        load_document(made.document, out.parent)
        return FirstSpec(made.text, lost=tuple(found.lost))
    assert data is not None
    cores = core_count()
    seen = overview(data, out.parent, home, targets or (found.targets if found else ()))
    budget = budget_for(seen, preset, timeout, cores, has_model=found is not None)
    made = draft(seen, budget, cores, out.name)
    if found is not None and source is not None:
        made = config_draft(made, seen, found, source.name)
        budget = written_budget(budget, made.document)
    section = load_document(made.document, out.parent).training.data
    mistakes = inspect_data(section, out.parent, home).mistakes
    if mistakes:
        raise DataError(mistakes[0].text)
    return FirstSpec(made.text, seen, budget, tuple(found.lost) if found else ())


def _translated(source: Path, data: str | None) -> Translation:
    """What a file of another tool says, in the words of a spec."""
    values = parse_yaml(read_text(source), str(source)).values
    try:
        if "input_features" in values or "output_features" in values:
            if data is None:
                raise HpoError("--from: a config of Ludwig names no file: give DATA, too.")
            return from_ludwig(values)
        if data is not None:
            raise HpoError("--from: a sweep of W&B runs a script, which reads the data: omit DATA.")
        return from_wandb(values)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise HpoError(f"--from: {source}: {error!r} is out of place: correct the file.") from None


def _find(data: str, home: Path | None) -> Path:
    if "://" in data:
        raise HpoError(
            f"{shown(data)}: a look opens no URL: download it, or name it in data.dataset."
        )
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
