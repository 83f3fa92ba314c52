"""Runs a study from its spec, or goes on with one from its storage."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from hpo.data.dataset import DataSet
from hpo.data.load import load_data
from hpo.engine.compiler import Compiler
from hpo.engine.devices import describe, local_devices
from hpo.engine.plan import choose_plan
from hpo.engine.pool import Pool
from hpo.engine.program import split
from hpo.errors import HpoError
from hpo.search.rungs import plan as search_plan
from hpo.search.sampler import make_sampler
from hpo.search.scheduler import make_scheduler
from hpo.spec.data import DataSpec
from hpo.spec.experiment import Experiment
from hpo.spec.fill import fill
from hpo.spec.load import experiment_from_document
from hpo.spec.marks import with_leaves
from hpo.spec.search import METRICS, SearchSpec
from hpo.study.checkpoints import CheckpointFolder, CheckpointWriter
from hpo.study.driver import Driver, Rules, Work
from hpo.study.events import Start, Stop, StopReason, fold
from hpo.study.executors import LocalExecutor
from hpo.study.journal import StudyJournal
from hpo.study.lease import acquire
from hpo.study.optuna_tables import open_mirror
from hpo.study.progress import Progress, best_trial, leading_trial, spent_seconds, states_of
from hpo.study.provenance import (
    Provenance,
    differences,
    library_versions,
    refusal,
    spec_changes,
)
from hpo.study.states import States
from hpo.study.storage import Storage, StudyRecord
from hpo.trial import HParams

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Surroundings:
    """What a run takes from its machine and caller rather than from the spec.

    `data_home` is the folder of named data sets, `cache` that of compiled programs.
    """

    storage: str
    data_home: Path | None
    cache: Path | None
    device: str | None = None
    starts_over: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    `signal` is the number of the signal that stopped it, if one did; `set_aside` is the name under
    which an earlier study of that name is kept.
    """

    reason: StopReason
    progress: Progress
    set_aside: str | None
    signal: int | None = None


def run_study(
    experiment: Experiment,
    around: Surroundings,
    watch: Callable[[Progress], None],
    say: Callable[[str], None],
) -> Outcome:
    """Run the study that a spec describes to its total of trials; resume it where it exists.

    `watch` sees the progress about ten times a second, `say` gets what a user should know.
    SIGINT and SIGTERM end the run after its present round.

    Raises:
        HpoError: for all that a user can put right.
    """
    search = experiment.search
    assert search is not None, "the command has checked that there is a search"
    with ExitStack() as stack:
        stop = stack.enter_context(stop_signals(say))
        devices = local_devices(around.device)
        datasets = DataSets(experiment.folder, around.data_home)
        data = datasets.load(experiment.training.data)
        _check_metric(search, data)
        provenance = Provenance(library_versions(), describe(devices), data.fingerprint)
        storage = stack.enter_context(Storage.create(around.storage))
        set_aside = _set_aside(storage, experiment.name) if around.starts_over else None
        study = _find_or_create(storage, experiment, provenance)
        lease = stack.enter_context(acquire(storage, study.id))
        _follow_spec(storage, study, experiment, say)
        events = storage.events(study.id)
        state = fold(events, search.objective)
        changed = differences(Provenance.from_document(study.provenance), provenance)
        for sentence in changed if state.starts else ():
            say(sentence)
        journal = StudyJournal(
            storage,
            study.id,
            state,
            lease,
            lambda: open_mirror(storage, study, experiment.space, search.objective),
        )
        if len(state):
            say(_resumed(len(state), search.trials))
        driver_info = {"pid": os.getpid(), "device": describe(devices)}
        journal.record(Start(driver_info, tuple(changed)))

        folder = CheckpointFolder.beside(around.storage, study.name)
        folder.sweep(checkpoint.file for checkpoint in state.checkpoints.values())
        writer = stack.enter_context(CheckpointWriter(folder))
        compiler = Compiler(around.cache)
        executor = LocalExecutor([Pool(device, compiler) for device in devices])
        stack.callback(executor.close)
        platform = devices[0].platform
        rules = _rules(experiment, search)
        driver = Driver(
            rules,
            journal,
            executor,
            States(writer),
            _preparer(experiment, datasets, platform),
            choose_plan(
                platform,
                experiment.training.train.lanes,
                search.trials,
                len(devices),
                rules.is_learning,
            ),
            experiment.study.checkpoint_seconds,
        )
        clock = _Clock(spent_seconds(events), search.timeout)
        view = _Viewer(experiment, search, state, driver, compiler, clock)
        reason = driver.run(
            lambda: stop.is_set() or clock.is_over(), lambda: watch(view.progress())
        )
        if reason == "interrupted" and not stop.is_set():
            reason = "timeout"
        journal.record(Stop(reason))
        journal.flush()
        if driver.differences:
            say(
                f"{driver.differences} epochs that were trained again came out otherwise than "
                "stored; the stored values stand. Is this another machine?"
            )
        if reason in ("finished", "exhausted"):
            writer.close()
            folder.clear()
        return Outcome(reason, view.progress(), set_aside, stop.signal)


class DataSets:
    """The data sets of a study, each read once: a space may vary how they are normalised."""

    def __init__(self, folder: Path, home: Path | None) -> None:
        self._folder, self._home = folder, home
        self._loaded: dict[DataSpec, DataSet] = {}

    def load(self, spec: DataSpec) -> DataSet:
        """The data set that a spec names.

        Raises:
            DataError: if it is missing, broken or unfit.
        """
        key = with_leaves(spec, {"batch_size": 1})
        if key not in self._loaded:
            self._loaded[key] = load_data(spec, self._folder, self._home)
        data = self._loaded[key]
        if spec.batch_size > len(data.train):
            raise HpoError(
                f"data.batch_size: {spec.batch_size} is larger than the {len(data.train)} rows of "
                "the training split: make it smaller."
            )
        return data


class StopRequest(threading.Event):
    """An event that is set by a signal, and the signal's number."""

    signal: int | None = None


@contextmanager
def stop_signals(say: Callable[[str], None]) -> Iterator[StopRequest]:
    """An event that SIGINT and SIGTERM set; a second one ends the process at once."""
    stop = StopRequest()

    def on_signal(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            # Not an exception: threads in the midst of a round would hold the process up.
            os._exit(128 + number)
        stop.signal = number
        stop.set()
        say("Stopping after this round; once more to stop at once.")

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    old = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _rules(experiment: Experiment, search: SearchSpec) -> Rules:
    epochs, seed = experiment.training.train.epochs, experiment.training.train.seed
    return Rules(
        sampler=make_sampler(search.sampler, experiment.space, seed),
        scheduler_for=lambda trials: make_scheduler(search.scheduler, epochs, trials),
        trials=search.trials,
        epochs=epochs,
        is_learning=search.sampler.name not in ("grid", "random"),
    )


def _preparer(
    experiment: Experiment, datasets: DataSets, platform: str
) -> Callable[[HParams, int], Work]:
    varying = frozenset(experiment.space.by_path)

    def prepare(hparams: HParams, number: int) -> Work:
        training = fill(experiment.training, hparams, number)
        data = datasets.load(training.data)
        program, knobs = split(training, data, platform, varying)
        return Work(training, program, knobs, data)

    return prepare


def _set_aside(storage: Storage, name: str) -> str | None:
    """Keep an existing study of that name under another one."""
    study = storage.find(name)
    if study is None:
        return None
    with acquire(storage, study.id):
        new = storage.set_aside(study.id)
    CheckpointFolder.beside(str(storage.url), name).set_aside(new)
    return new


def _find_or_create(
    storage: Storage, experiment: Experiment, provenance: Provenance
) -> StudyRecord:
    study = storage.find(experiment.name)
    if study is not None:
        return study
    details = {**provenance.to_document(), "folder": str(experiment.folder.resolve())}
    seed = experiment.training.train.seed
    return storage.create_study(
        experiment.name, dict(experiment.document), seed, details, provenance.data_fingerprint
    )


def _follow_spec(
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


def _check_metric(search: SearchSpec, data: DataSet) -> None:
    metric = search.objective.metric
    if data.task not in METRICS[metric][0]:
        known = [name for name, (tasks, _) in METRICS.items() if data.task in tasks]
        raise HpoError(
            f"search.objective: {metric} is no metric of a {data.task}: use {', '.join(known)}."
        )


def _resumed(started: int, total: int) -> str:
    return f"Resuming: {started} of {total} trials have been started."


class _Clock:
    def __init__(self, spent_seconds: float, timeout_seconds: float | None) -> None:
        self._start = time.monotonic()
        self._left = None if timeout_seconds is None else timeout_seconds - spent_seconds

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def is_over(self) -> bool:
        return self._left is not None and self.seconds >= self._left


class _Viewer:
    """Makes the progress that a watcher sees."""

    def __init__(
        self,
        experiment: Experiment,
        search: SearchSpec,
        state: Any,
        driver: Driver,
        compiler: Compiler,
        clock: _Clock,
    ) -> None:
        self._experiment, self._search, self._state = experiment, search, state
        self._driver, self._compiler, self._clock = driver, compiler, clock
        self._epochs = experiment.training.train.epochs
        self._total = search_plan(search.scheduler, self._epochs, search.trials)
        self._first_epoch: float | None = None

    def progress(self) -> Progress:
        trained, now = self._driver.epochs_trained, self._clock.seconds
        if trained and self._first_epoch is None:
            self._first_epoch = now
        training_seconds = now - self._first_epoch if self._first_epoch is not None else 0.0
        return Progress(
            study=self._experiment.name,
            metric=self._search.objective.metric,
            trials=self._search.trials,
            states=states_of(self._state),
            epochs=sum(trial.epochs for trial in self._state.trials),
            epochs_total=self._total.epochs,
            epochs_are_bound=self._total.is_upper_bound,
            epochs_a_second=trained / training_seconds if training_seconds > 0 else 0.0,
            programs=self._compiler.programs,
            seconds=now,
            best=best_trial(self._state, self._epochs),
            leader=leading_trial(self._state),
        )
