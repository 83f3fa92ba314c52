"""Finds or begins a study in its storage, and holds a resumed one to its spec."""

from __future__ import annotations

from collections.abc import Callable

from hpo.spec.experiment import Experiment
from hpo.spec.load import experiment_from_document
from hpo.study.checkpoints import CheckpointFolder
from hpo.study.lease import acquire
from hpo.study.provenance import Provenance, refusal, spec_changes
from hpo.study.storage import Storage, StudyRecord


def set_aside(storage: Storage, name: str) -> str | None:
    """Keep an existing study of that name under another one."""
    study = storage.find(name)
    if study is None:
        return None
    with acquire(storage, study.id):
        new = storage.set_aside(study.id)
    CheckpointFolder.beside(str(storage.url), name).set_aside(new)
    return new


def find_or_create(storage: Storage, experiment: Experiment, provenance: Provenance) -> StudyRecord:
    study = storage.find(experiment.name)
    if study is not None:
        return study
    details = {**provenance.to_document(), "folder": str(experiment.folder.resolve())}
    seed = experiment.training.train.seed
    return storage.create_study(
        experiment.name, dict(experiment.document), seed, details, provenance.data_fingerprint
    )


def follow_spec(
    storage: Storage, study: StudyRecord, experiment: Experiment, say: Callable[[str], None]
) -> None:
    """Take over what may change in a spec between two runs, and refuse the rest."""
    stored = experiment_from_document(study.document, experiment.folder, f"study '{study.name}'")
    harmless, refused = spec_changes(stored.written_out(), experiment.written_out())
    if refused:
        raise refusal(study.name, refused)
    if harmless:
        say(f"The spec has changed: {'; '.join(harmless)}.")
        storage.update_document(study.id, dict(experiment.document))
