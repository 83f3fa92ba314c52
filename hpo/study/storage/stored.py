"""The experiment that a study keeps: all that `hpo resume` needs besides the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpo.spec.experiment import Experiment
from hpo.spec.load import experiment_from_document
from hpo.study.storage.tables import StudyRecord

# What a spec that named none was searched by, and what one of a name had, before studies kept that.
_FIRST_DEFAULTS = {"sampler": {"name": "tpe"}, "scheduler": {"name": "hyperband"}}
_FIRST_OPTIONS = {"median": {"min_epochs": 1}}


def to_store(experiment: Experiment) -> dict[str, Any]:
    """The document that a study keeps: with its sampler and scheduler, whatever defaults become.

    What the spec says stays as it is written. A scheduler is kept with all its options, but not a
    sampler, which under `bohb` may not have them all.
    """
    search = experiment.search
    if search is None:
        return dict(experiment.document)
    sampler = {} if "sampler" in experiment.document["search"] else {"name": search.sampler.name}
    scheduler = search.scheduler.model_dump(mode="json")
    return _pinned(experiment.document, {"sampler": sampler, "scheduler": scheduler})


def as_meant(document: Mapping[str, Any]) -> dict[str, Any]:
    """A stored document with the sampler and scheduler that it stood for when it was stored."""
    search = document.get("search")
    if not isinstance(search, Mapping):
        return dict(document)
    named = {**_FIRST_DEFAULTS, **search}
    options = {part: _FIRST_OPTIONS.get(named[part]["name"], {}) for part in _FIRST_DEFAULTS}
    return _pinned({**document, "search": named}, options)


def _pinned(document: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A document whose search has what it left to these defaults of its parts."""
    search = document["search"]
    parts = {part: {**value, **search.get(part, {})} for part, value in defaults.items()}
    return {**document, "search": {**search, **parts}}


def stored_experiment(record: StudyRecord, where: str, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment of a study in the storage `where`, with `path=value` overrides applied.

    Its relative paths start where its spec lay, or in the working folder if that is gone. It goes
    by the study's name, which is another than its spec's for one that was set aside.

    Raises:
        SpecError: with every mistake, a line each, if a later version of hpo stored it.
    """
    folder = Path(record.provenance.get("folder", ""))
    folder = folder if folder.is_dir() else Path.cwd()
    document = {**as_meant(record.document), "name": record.name}
    return experiment_from_document(document, folder, f"study {record.name} in {where}", overrides)
