"""Opens a study: reads its data, opens or creates its log, and notes that this run starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from hpo.search.auto import picked
from hpo.spec.code.own_command import CommandTraining
from hpo.spec.experiment import Experiment
from hpo.spec.file.passwords import without_passwords
from hpo.spec.load import experiment_from_document, require_search
from hpo.spec.sections.search import SearchSpec
from hpo.spec.words import count_text
from hpo.study.backends.backend import Backend, backend_of
from hpo.study.backends.found_space import with_space
from hpo.study.backends.trial_folders import TrialFolders
from hpo.study.kept.files import check_keeping, kept_folder
from hpo.study.log.events import Propose, Start, StudyState, fold
from hpo.study.log.judging import Judging
from hpo.study.loop.varied import varied_note
from hpo.study.progress import spent_seconds, states_of
from hpo.study.storage.checkpoints import CheckpointFolder
from hpo.study.storage.journal import Listener, StudyJournal
from hpo.study.storage.lease import acquire
from hpo.study.storage.optuna_tables import open_mirror
from hpo.study.storage.provenance import (
    WEIGHTS,
    Provenance,
    check_weights,
    differences,
    refusal,
    spec_changes,
)
from hpo.study.storage.stored import as_meant, to_store
from hpo.study.storage.tables import Mirror, NothingStoredError, Storage, StudyRecord
from hpo.study.storage.trust import (
    CODE,
    check_code,
    check_given,
    check_known,
    code_of,
    known_code,
    remember_code,
)
from hpo.study.surroundings import Surroundings
from hpo.study.times import RunTimes, TimedJournal
from hpo.study.warm_start import check_sources, noted_sources
from hpo.trial import Exploit, HParams


@dataclass(frozen=True)
class OpenStudy:
    """A study that this process drives: its spec fits what trains it, and its log is held.

    `set_aside` is the name under which an earlier study of that name is kept, `spent_seconds` the
    time that earlier runs took.
    """

    experiment: Experiment
    search: SearchSpec
    backend: Backend
    storage: Storage
    record: StudyRecord
    set_aside: str | None
    journal: TimedJournal
    spent_seconds: float

    @property
    def state(self) -> StudyState:
        """The state after all events of the log."""
        return self.journal.state


def open_study(
    experiment: Experiment,
    around: Surroundings,
    times: RunTimes,
    stack: ExitStack,
    say: Callable[[str], None],
    listen: Listener | None,
    begin: Callable[[], None],
) -> OpenStudy:
    """Make the backend, open or create the study, and note in its log that this run starts.

    `stack` closes what this opens, `listen` gets the events of the log as they are stored, and
    `begin` is called before anything is stored.

    Raises:
        HpoError: for data that do not fit the spec, a study that another process drives, or a spec
            that changes the study's meaning.
    """
    search = require_search(experiment)
    CheckpointFolder.beside(around.storage, experiment.name).check()
    if search.keep_weights:
        check_keeping(around.storage, experiment.name)
    _check_code(experiment, around)
    experiment = with_space(experiment, around, say)
    backend = backend_of(experiment, around, say)
    provenance = backend.provenance
    begin()
    storage = stack.enter_context(Storage.create(around.storage))
    record, set_aside = find_or_begin(storage, experiment, provenance, around.starts_over, say)
    lease = stack.enter_context(acquire(storage, record.id, say=say))
    noted = follow_spec(storage, record, experiment, say)
    events = storage.events(record.id)
    judging = Judging.of(experiment.training.train, search.goal.first)
    state = fold(events, search.goal, record.where, judging)
    began = Provenance.of(record)
    starts = [event.what for event in state.starts if isinstance(event.what, Start)]
    earlier = [start.driver.get(WEIGHTS, {}) for start in starts]
    check_weights(record.name, [began.weights, *earlier], provenance.weights)
    changed = differences(began, provenance)
    _introduce(experiment, search, state, changed, say)

    def mirror() -> Mirror | None:
        return open_mirror(storage, record, experiment.space, state)

    own = StudyJournal(storage, record.id, state, lease, mirror, listen)
    journal = TimedJournal(own, times.driver)
    driver = {"pid": os.getpid(), "device": provenance.device, **varied_note(experiment.space)}
    driver |= {CODE: dict(provenance.code)} if provenance.code else {}
    driver |= {WEIGHTS: dict(provenance.weights)} if provenance.weights else {}
    journal.record(Start(driver, (*changed, *noted)))
    return OpenStudy(
        experiment,
        search,
        backend,
        storage,
        record,
        set_aside,
        journal,
        spent_seconds(events),
    )


def _check_code(experiment: Experiment, around: Surroundings) -> None:
    """Refuse code that has changed since the study began, before any of it runs.

    Code that only the database names must have been run here by a spec of the user's.
    """
    is_trusted = around.trusts_code
    training = experiment.training
    if experiment.is_stored and isinstance(training, CommandTraining) and not training.asks:
        check_given(experiment, () if is_trusted else _tried(experiment, around))
    if not code_of(experiment.training):
        return
    if not around.starts_over:
        _check_version(experiment, around)
    if experiment.is_stored:
        check_known(experiment, _tried(experiment, around), around.typed, is_trusted=is_trusted)
    remember_code(experiment, around.typed)


def _tried(experiment: Experiment, around: Surroundings) -> list[HParams]:
    """The hparams of all trials of the stored study."""
    with suppress(NothingStoredError), Storage.read(around.storage) as storage:
        record = storage.find(experiment.name)
        happened = [] if record is None else [e.what for e in storage.events(record.id)]
        return [what.hparams for what in happened if isinstance(what, Propose | Exploit)]
    return []


def _check_version(experiment: Experiment, around: Surroundings) -> None:
    """Refuse another version of the code than that of a study with results."""
    with suppress(NothingStoredError), Storage.read(around.storage) as storage:
        record = storage.find(experiment.name)
        events = [] if record is None else storage.events(record.id)
        if record is not None and any(event.kind == "report" for event in events):
            check_code(
                record.name,
                known_code(record, (event.what for event in events)),
                experiment.training,
                is_trusted=around.trusts_code,
                cure="start over with --new, ",
            )


def find_or_begin(
    storage: Storage,
    experiment: Experiment,
    provenance: Provenance,
    starts_over: bool,
    say: Callable[[str], None],
) -> tuple[StudyRecord, str | None]:
    """The study of an experiment, created if need be, and the new name of one that it replaces.

    An existing study is renamed if `starts_over` is set, or if the spec has changed before the
    study had results.

    Raises:
        StudyError: if another process drives the study to rename, or a source of the spec cannot
            be read; the storage then stays as it was.
    """
    study, old_name = storage.find(experiment.name), None
    if study is not None and not starts_over and _is_a_false_start(storage, study, experiment):
        say("The spec has changed, and the study had no results yet: it starts over.")
        starts_over = True
    if study is None or starts_over:
        check_sources(experiment, storage)
    if study is not None and starts_over:
        with acquire(storage, study.id, say=say):
            old_name = storage.set_aside(study.id)
        url = str(storage.url)
        CheckpointFolder.beside(url, study.name).set_aside(old_name)
        kept_folder(url, study.name).set_aside(old_name)
        TrialFolders.beside(url, study.name).set_aside(TrialFolders.beside(url, old_name).path)
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
    """Store harmless changes of the spec, and refuse the others.

    Gives a sentence about changes of the space, to be noted in the log.

    Raises:
        StudyError: for a change that is refused, or a source that cannot be read.
    """
    harmless, refused = _changes(study, experiment)
    if refused:
        raise refusal(study.name, refused)
    if without_passwords(study.document) != study.document:
        say("The stored spec held a password: it is removed, and copies of the database keep it.")
        storage.update_document(study.id, without_passwords(study.document))
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
    old, new = (without_passwords(spec.written_out()) for spec in (stored, experiment))
    return spec_changes(old, new)


def _introduce(
    experiment: Experiment,
    search: SearchSpec,
    state: StudyState,
    changed: Sequence[str],
    say: Callable[[str], None],
) -> None:
    """Tell the user what this run continues, and what `auto` in the spec has picked."""
    for sentence in changed if state.starts else ():
        say(sentence)
    for note in search.goal.notes:
        say(f"search.objective: {note}.")
    if len(state):
        say(_resumed(state, search.trials))
    picks = picked(search, experiment.space, experiment.training.train.epochs)
    for kind, text in picks.items():
        say(f"The {kind} {getattr(search, kind).name}: {text}.")


def _resumed(state: StudyState, total: int) -> str:
    if len(state) >= total and all(trial.state.is_finished for trial in state.trials):
        count = count_text(len(state), "trial")
        return f"The study has ended with {count}: give a larger --trials to add more."
    begun = sum(states_of(state).values())
    return f"Resuming: {begun:,} of {count_text(total, 'trial')} started."
