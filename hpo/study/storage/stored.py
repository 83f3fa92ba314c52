"""The experiment that a study keeps: all that `hpo resume` needs besides the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpo import __version__
from hpo.errors import SpecError, StudyError
from hpo.registry import DATASETS, METRICS, READERS, REGISTRIES, Kind
from hpo.spec.experiment import Experiment
from hpo.spec.file.passwords import without_passwords
from hpo.spec.load import experiment_from_document
from hpo.spec.sections.command import CommandTrain
from hpo.spec.sections.goal import COSTS, is_own
from hpo.study.storage.tables import StudyRecord

# Defaults of earlier versions, whose studies did not store them.
_FIRST_DEFAULTS = {"sampler": {"name": "tpe"}, "scheduler": {"name": "hyperband"}}
_FIRST_BASELINES = False
_FIRST_OPTIONS = {"median": {"min_epochs": 1}}
# The parts of a spec that name an entry of a registry.
_NAMED: tuple[tuple[str, Kind], ...] = (
    ("model", "model"),
    ("loss", "loss"),
    ("optimizer", "optimizer"),
    ("optimizer.schedule", "schedule"),
    ("search.sampler", "sampler"),
    ("search.scheduler", "scheduler"),
)


def to_store(experiment: Experiment) -> dict[str, Any]:
    """The document that a study stores: the spec, with its sampler and scheduler written out.

    Whether it has baselines is written out, too. So later defaults do not change the study. The
    scheduler is stored with all options. The sampler is not, because under `bohb` it may not have
    them all. Passwords are left out.
    """
    search, document = experiment.search, without_passwords(experiment.document)
    if search is None:
        return document
    sampler = {} if "sampler" in document["search"] else {"name": search.sampler.name}
    scheduler = search.scheduler.model_dump(mode="json")
    document = {**document, "search": {**document["search"], "baselines": search.baselines}}
    return _pinned(document, {"sampler": sampler, "scheduler": scheduler})


def as_meant(document: Mapping[str, Any]) -> dict[str, Any]:
    """A stored document with the defaults of its search that held at the time.

    Raises:
        StudyError: for one that includes files, which would be read then.
    """
    space, search = document.get("space"), document.get("search")
    if isinstance(space, Mapping) and "include" in space:
        raise StudyError(
            "space.include: a stored spec includes no files, and this one does, so hpo did not "
            "store it: run `hpo search SPEC` with a spec of yours."
        )
    if not isinstance(search, Mapping):
        return dict(document)
    named = {**_FIRST_DEFAULTS, "baselines": _FIRST_BASELINES, **search}
    names = {part: _part(named, f"{part}.name") for part in _FIRST_DEFAULTS}
    options = {part: _FIRST_OPTIONS.get(str(name), {}) for part, name in names.items()}
    return _pinned({**document, "search": named}, options)


def train_as_meant(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The section `train` of a stored document, which a command may leave out."""
    defaults = {"epochs": CommandTrain().epochs} if "command" in document else {}
    return {**defaults, **document.get("train", {})}


def _pinned(document: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A document with these defaults written into the parts of its search."""
    search = document["search"]
    parts = {
        part: {**value, **written}
        for part, value in defaults.items()
        if isinstance(written := search.get(part, {}), Mapping)  # else a mistake, told later
    }
    return {**document, "search": {**search, **parts}}


def stored_experiment(record: StudyRecord, where: str, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment of a study in the storage `where`, with `path=value` overrides applied.

    Relative paths start in the folder of the spec, or in the working folder if that is gone. The
    experiment has the study's name, which differs from the spec's if the study was set aside. It
    is marked as stored, because another person may have written it.

    Raises:
        StudyError: if the spec names an entry that no registry has.
        SpecError: if a later version of hpo stored a spec that this one cannot read.
    """
    folder = Path(record.provenance.get("folder", ""))
    folder = folder if folder.is_dir() else Path.cwd()
    document = {**as_meant(record.document), "name": record.name}
    where = f"study {record.name} in {where}"
    try:
        experiment = experiment_from_document(document, folder, where, overrides)
        return replace(experiment, is_stored=True)
    except SpecError:
        require_names(record)
        raise


def require_names(record: StudyRecord) -> None:
    """Refuse a study whose spec has names that no registry has.

    Raises:
        StudyError: with the names that are unknown here, such as those of a user's package.
    """
    unknown = tuple(dict.fromkeys(_unknown_names(record.document)))
    if not unknown:
        return
    version = record.hpo_version
    other = "" if version == __version__ else f", or use hpo {version}"
    raise StudyError(
        f"study '{record.name}' has names that are unknown here: {', '.join(unknown)}. First "
        f"register the package that adds them (hpo.registry.add){other}."
    )


def _unknown_names(document: Mapping[str, Any]) -> Iterator[str]:
    """The names in a stored spec that no registry has: `model 'gated'`."""
    space = document.get("space")
    for path, kind in _NAMED:
        if _part(document, f"{path}.python"):
            continue  # its arguments may have any names
        entry = space.get(f"{path}.name") if isinstance(space, Mapping) else None
        choices = entry.get("choice", ()) if isinstance(entry, Mapping) else (entry,)
        for name in (_part(document, f"{path}.name"), *choices):
            if isinstance(name, str) and name not in REGISTRIES[kind]:
                yield f"{kind} '{name}'"
    dataset = _part(document, "data.dataset")
    if isinstance(dataset, str) and dataset not in DATASETS:
        yield f"dataset '{dataset}'"
    if isinstance(dataset, Mapping) and READERS.keys().isdisjoint(dataset):
        yield f"format of data '{next(iter(dataset), '')}'"
    # A task or a command of the user's own has metrics of its own.
    for name in () if {"task", "command"} & document.keys() else _metrics(document):
        if isinstance(name, str) and not is_own(name) and name not in (*METRICS, *COSTS):
            yield f"metric '{name}'"


def _metrics(document: Mapping[str, Any]) -> Iterator[Any]:
    objective = _part(document, "search.objective")
    for one in objective if isinstance(objective, list | tuple) else (objective,):
        if isinstance(one, Mapping):
            yield from (one.get("maximize"), one.get("minimize"))
    for constraint in _part(document, "search.constraints") or ():
        yield constraint.get("metric") if isinstance(constraint, Mapping) else None
    yield from _part(document, "train.metrics") or ()


def _part(document: Mapping[str, Any], path: str) -> Any:
    here: Any = document
    for name in path.split("."):
        here = here.get(name) if isinstance(here, Mapping) else None
    return here
