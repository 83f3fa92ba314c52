"""Finds or begins a study in its storage, and holds a resumed one to its spec."""

from __future__ import annotations

from collections.abc import Callable

from hpo.spec.experiment import Experiment
from hpo.spec.load import experiment_from_document
from hpo.study.storage.checkpoints import CheckpointFolder
from hpo.study.storage.lease import acquire
from hpo.study.storage.provenance import Provenance, refusal, spec_changes
from hpo.study.storage.stored import as_meant, to_store
from hpo.study.storage.tables import Storage, StudyRecord
from hpo.study.warm_start import check_sources, noted_sources


def open_study(
    storage: Storage,
    experiment: Experiment,
    provenance: Provenance,
    starts_over: bool,
    say: Callable[[str], None],
) -> tuple[StudyRecord, str | None]:
    """The study of an experiment, begun if need be, and the name under which an old one is kept.

    An old one makes room on demand, or where its spec has changed before it had any result.

    Raises:
        StudyError: if another process drives the study that would make room, or a source of the
            spec cannot be read; the storage is then as it was.
    """
    study, old_name = storage.find(experiment.name), None
    if study is not None and not starts_over and _is_a_false_start(storage, study, experiment):
        say("The spec has changed, and the study had no results yet: it begins anew.")
        starts_over = True
    if study is None or starts_over:
        check_sources(experiment, storage)
    if study is not None and starts_over:
        with acquire(storage, study.id):
            old_name = storage.set_aside(study.id)
        CheckpointFolder.beside(str(storage.url), study.name).set_aside(old_name)
        study = None
    if study is None:
        details = {**provenance.to_document(), "folder": str(experiment.folder.resolve())}
        seed, document = experiment.training.train.seed, to_store(experiment)
        study = storage.create_study(
            experiment.name, document, seed, details, provenance.data_fingerprint
        )
    return study, old_name


def follow_spec(
    storage: Storage, study: StudyRecord, experiment: Experiment, say: Callable[[str], None]
) -> list[str]:
    """Take over what may change in a spec between two runs, and refuse the rest.

    What changed of the space comes back, a sentence to be noted in the log.

    Raises:
        StudyError: for a change that is refused, or a source that cannot be read.
    """
    harmless, refused = _changes(study, experiment)
    if refused:
        raise refusal(study.name, refused)
    if not harmless:
        return []
    events = storage.events(study.id)
    check_sources(experiment, storage, noted_sources(e.what for e in events))
    say(f"The spec has changed: {'; '.join(harmless)}.")
    storage.update_document(study.id, to_store(experiment))
    of_space = [line for line in harmless if line.startswith("space")]
    return [f"The space has changed: {'; '.join(of_space)}."] if of_space else []


def _is_a_false_start(storage: Storage, study: StudyRecord, experiment: Experiment) -> bool:
    _, refused = _changes(study, experiment)
    return bool(refused) and all(event.kind != "report" for event in storage.events(study.id))


def _changes(study: StudyRecord, experiment: Experiment) -> tuple[list[str], list[str]]:
    stored = experiment_from_document(
        as_meant(study.document), experiment.folder, f"study '{study.name}'"
    )
    return spec_changes(stored.written_out(), experiment.written_out())
