"""The experiment that a study keeps: all that `hpo resume` needs besides the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpo.spec.experiment import Experiment
from hpo.spec.load import experiment_from_document
from hpo.study.storage.tables import StudyRecord

# Defaults of earlier versions, whose studies did not store them.
_FIRST_DEFAULTS = {"sampler": {"name": "tpe"}, "scheduler": {"name": "hyperband"}}
_FIRST_OPTIONS = {"median": {"min_epochs": 1}}


def to_store(experiment: Experiment) -> dict[str, Any]:
    """The document that a study stores: the spec, with its sampler and scheduler written out.

    So later defaults do not change the study. The scheduler is stored with all options. The sampler
    is not, because under `bohb` it may not have them all.
    """
    search = experiment.search
    if search is None:
        return dict(experiment.document)
    sampler = {} if "sampler" in experiment.document["search"] else {"name": search.sampler.name}
    scheduler = search.scheduler.model_dump(mode="json")
    return _pinned(experiment.document, {"sampler": sampler, "scheduler": scheduler})


def as_meant(document: Mapping[str, Any]) -> dict[str, Any]:
    """A stored document with the sampler and scheduler that were its defaults at the time."""
    search = document.get("search")
    if not isinstance(search, Mapping):
        return dict(document)
    named = {**_FIRST_DEFAULTS, **search}
    options = {part: _FIRST_OPTIONS.get(named[part]["name"], {}) for part in _FIRST_DEFAULTS}
    return _pinned({**document, "search": named}, options)


def _pinned(document: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A document with these defaults written into the parts of its search."""
    search = document["search"]
    parts = {part: {**value, **search.get(part, {})} for part, value in defaults.items()}
    return {**document, "search": {**search, **parts}}


def stored_experiment(record: StudyRecord, where: str, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment of a study in the storage `where`, with `path=value` overrides applied.

    Relative paths start in the folder of the spec, or in the working folder if that is gone. The
    experiment has the study's name, which differs from the spec's if the study was set aside.

    Raises:
        SpecError: if a later version of hpo stored a spec that this one cannot read.
    """
    folder = Path(record.provenance.get("folder", ""))
    folder = folder if folder.is_dir() else Path.cwd()
    document = {**as_meant(record.document), "name": record.name}
    return experiment_from_document(document, folder, f"study {record.name} in {where}", overrides)
