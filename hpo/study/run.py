"""Runs a study from its spec, or goes on with one from its storage."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpo.data.cache import DataCache
from hpo.data.dataset import DataSet
from hpo.data.load import load_data
from hpo.engine.devices import describe, local_devices
from hpo.engine.mesh import places
from hpo.engine.models.registry import abstract_model
from hpo.engine.pools.pool import Pool
from hpo.engine.pools.streaming import budget_bytes, place, streaming_text
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.executables import use_jax_cache
from hpo.engine.programs.footprint import known_costs
from hpo.errors import HpoError
from hpo.search.auto import picked
from hpo.search.cohorts import given_in
from hpo.search.proposals.knowledge import Knowledge
from hpo.search.proposals.moving_ranges import widest
from hpo.search.sampler import Setting, is_learning, make_sampler
from hpo.search.schedulers.explore import explorer_of
from hpo.search.schedulers.registry import make_scheduler
from hpo.space import Choice
from hpo.spec.experiment import Experiment
from hpo.spec.fill import fill
from hpo.spec.marks import with_leaves
from hpo.spec.merging import Merging
from hpo.spec.sections.data import DataSpec
from hpo.spec.sections.goal import METRICS
from hpo.spec.sections.pruner import for_losses
from hpo.spec.sections.scheduler import OptunaPruner
from hpo.spec.sections.search import SearchSpec
from hpo.spec.words import count_text
from hpo.study.executors.local import LocalExecutor
from hpo.study.log.events import Start, Stop, StopReason, StudyState, fold
from hpo.study.log.untrained import Untrained, untrained
from hpo.study.loop.deciding import Rules
from hpo.study.loop.driver import Driver
from hpo.study.loop.states import States
from hpo.study.loop.stop_rules import stop_sentence
from hpo.study.loop.varied import varied_for, varied_note
from hpo.study.loop.work import Work
from hpo.study.opening import follow_spec, open_study
from hpo.study.planning import PlanTeller, learn_costs, plan_study
from hpo.study.profile import Profile
from hpo.study.progress import Progress, Watcher, spent_seconds, states_of
from hpo.study.signals import StopRequest
from hpo.study.storage.checkpoints import CheckpointFolder, CheckpointWriter
from hpo.study.storage.journal import StudyJournal
from hpo.study.storage.lease import acquire
from hpo.study.storage.optuna_tables import open_mirror
from hpo.study.storage.provenance import Provenance, differences, library_versions
from hpo.study.storage.tables import Storage
from hpo.study.times import RunTimes, TimedExecutor, TimedJournal, TimedSampler
from hpo.study.warm_start import knowledge_of, lessons
from hpo.trial import HParams


@dataclass(frozen=True)
class Surroundings:
    """What a run takes from its machine and caller rather than from the spec.

    `data_home` is the folder of named data sets, `cache` that of compiled programs, `data_cache`
    that of preprocessed data sets, `profile` one for a trace; `began` is when the process did, by
    `time.monotonic()`. `explains` asks to be told how programs are run, and why.
    """

    storage: str
    data_home: Path | None
    cache: Path | None
    device: str | None = None
    starts_over: bool = False
    data_cache: Path | None = None
    profile: Path | None = None
    began: float | None = None
    explains: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    `signal` is the number of the signal that stopped it, if one did; `set_aside` is the name under
    which an earlier study of that name is kept. `untrained` is there where no trial was trained.
    """

    reason: StopReason
    progress: Progress
    set_aside: str | None
    signal: int | None = None
    untrained: Untrained | None = None


def run_study(
    experiment: Experiment,
    around: Surroundings,
    watch: Callable[[Progress], None],
    say: Callable[[str], None],
    stop: StopRequest,
) -> Outcome:
    """Run the study that a spec describes to its total of trials; resume it where it exists.

    `watch` sees the progress about ten times a second, `say` gets what a user should know. Once
    `stop` is set, the run ends after its present round.

    Raises:
        HpoError: for all that a user can put right.
    """
    search = experiment.search
    assert search is not None, "the command has checked that there is a search"
    times = RunTimes(time.monotonic() if around.began is None else around.began)
    with ExitStack() as stack:
        profile = around.profile and stack.enter_context(Profile(around.profile, say))
        devices = local_devices(around.device)
        datasets = DataSets(experiment.folder, around.data_home, DataCache(around.data_cache))
        data = datasets.load(experiment.training.data)
        platform = devices[0].platform
        _check_metric(search, data)
        _check_fit(experiment, datasets, devices[0])
        if text := streaming_text(data, experiment.training.data, devices[0]):
            say(text)
        provenance = Provenance(library_versions(), describe(devices), data.fingerprint)
        storage = stack.enter_context(Storage.create(around.storage))
        study, old_name = open_study(storage, experiment, provenance, around.starts_over, say)
        lease = stack.enter_context(acquire(storage, study.id))
        noted = follow_spec(storage, study, experiment, say)
        events = storage.events(study.id)
        state, spent = fold(events, search.goal), spent_seconds(events)
        changed = differences(Provenance.from_document(study.provenance), provenance)
        for sentence in changed if state.starts else ():
            say(sentence)
        journal = TimedJournal(
            StudyJournal(
                storage,
                study.id,
                state,
                lease,
                lambda: open_mirror(storage, study, experiment.space, state),
            ),
            times.driver,
        )
        for note in search.goal.notes:
            say(f"search.objective: {note}.")
        if len(state):
            say(_resumed(state, search.trials))
        driver_info = {"pid": os.getpid(), "device": describe(devices)}
        driver_info |= varied_note(experiment.space)
        full = experiment.training.train.epochs
        for kind, text in picked(search, experiment.space, full).items():
            say(f"The {kind} {getattr(search, kind).name}: {text}.")
        journal.record(Start(driver_info, (*changed, *noted)))
        is_told = is_learning(search.sampler, experiment.space, _setting(experiment, search))
        for lesson in lessons(experiment, storage, provenance, state.notes, say, is_told=is_told):
            journal.record(lesson)

        rules = _rules(experiment, search, knowledge_of(experiment, journal, say))
        folder = CheckpointFolder.beside(around.storage, study.name)
        folder.sweep(checkpoint.file for checkpoint in state.checkpoints.values())
        writer = stack.enter_context(CheckpointWriter(folder))
        use_jax_cache(around.cache)
        compiler = Compiler(around.cache)
        # Small models keep a core busy each; accelerators gain by more lanes at once.
        pools = [Pool(place, compiler) for place in places(devices, is_meshed=platform != "cpu")]
        executor = TimedExecutor(LocalExecutor(pools), times.driver)
        explain = say if around.explains else _nobody
        plan = plan_study(
            experiment,
            data,
            pools[0].place,
            len(pools),
            rules.is_learning,
            around.cache,
            journal,
            explain,
        )
        teller = PlanTeller(plan.plans, journal, explain)
        for i, pool in enumerate(pools):
            times.follow(f"pool {i}", pool.stopwatch)
        times.follow("writer", writer.stopwatch)
        stack.callback(executor.close)
        rules = replace(rules, sampler=TimedSampler(rules.sampler, times.driver))
        driver = Driver(
            rules,
            journal,
            executor,
            States(writer),
            _preparer(experiment, datasets, platform, plan.merging, state),
            plan.plans,
            experiment.study.checkpoint_seconds,
        )
        watcher = Watcher(experiment, state, driver, compiler, watch)
        deadline = time.monotonic() + search.timeout - spent if search.timeout else math.inf

        def look() -> None:
            watcher.look()
            teller.look()
            times.keep(journal)
            if profile:
                with times.driver.during("profiling"):
                    profile.look(driver.epochs_trained > 0)

        times.driver.turn_to("deciding")
        reason = driver.run(lambda: stop.is_set() or time.monotonic() >= deadline, look)
        if reason == "interrupted" and not stop.is_set():
            reason = "timeout"
        if reason == "exhausted" and math.isinf(widest(experiment.space).size):
            reason = "none_found"
        if ending := stop_sentence(reason, search.stop):
            say(f"The study stops: {ending}.")
        if platform == "cpu":
            learn_costs(around.cache, compiler, pools)
        journal.record(times.so_far())
        journal.record(Stop(reason))
        journal.flush()
        for excuse in driver.too_large.values():
            say(f"Trials were given up, and count as diverged: {excuse}")
        if driver.differences:
            say(
                f"{count_text(driver.differences, 'epoch')} trained again came out otherwise than "
                "stored; the stored values stand. Is this another machine?"
            )
        if reason in ("finished", "exhausted", "none_found"):
            writer.close()
            folder.clear()
        return Outcome(reason, watcher.progress(), old_name, stop.signal, untrained(state))


class DataSets:
    """The data sets of a study, each read once: a space may vary how they are normalised."""

    def __init__(self, folder: Path, home: Path | None, cache: DataCache) -> None:
        self._folder, self._home, self._cache = folder, home, cache
        self._loaded: dict[DataSpec, DataSet] = {}

    def load(self, spec: DataSpec) -> DataSet:
        """The data set that a spec names.

        Raises:
            DataError: if it is missing, broken or unfit.
        """
        key = with_leaves(spec, {"batch_size": 1})
        if key not in self._loaded:
            self._loaded[key] = load_data(spec, self._folder, self._home, self._cache)
        data = self._loaded[key]
        if spec.batch_size > len(data.train):
            rows = count_text(len(data.train), "row")
            raise HpoError(
                f"data.batch_size: {spec.batch_size} is larger than the {rows} of the training "
                "split: make it smaller."
            )
        return data


def _setting(experiment: Experiment, search: SearchSpec) -> Setting:
    return Setting(
        experiment.training.train.seed,
        search.trials,
        experiment.training.train.epochs,
        search.scheduler,
        len(search.goal.objectives),
        given_in(search, experiment.space),
    )


def _rules(experiment: Experiment, search: SearchSpec, knowledge: Knowledge) -> Rules:
    setting = _setting(experiment, search)
    epochs, seed = setting.epochs, setting.seed
    scheduler = search.scheduler
    if search.goal.first.maximize and isinstance(scheduler, OptunaPruner):
        scheduler = scheduler.model_copy(update={"pruner": for_losses(scheduler.pruner)})
    return Rules(
        sampler=make_sampler(search.sampler, experiment.space, setting, knowledge),
        scheduler_for=lambda trials: make_scheduler(scheduler, epochs, trials),
        trials=search.trials,
        epochs=epochs,
        is_learning=is_learning(search.sampler, experiment.space, setting),
        seeds=experiment.training.train.seeds,
        explorer=explorer_of(search.scheduler, experiment.space, seed),
        stop=search.stop,
    )


def _preparer(
    experiment: Experiment, datasets: DataSets, platform: str, merging: Merging, state: StudyState
) -> Callable[[HParams, int], Work]:
    wanted = experiment.search.goal.metrics if experiment.search else ()

    def prepare(hparams: HParams, number: int) -> Work:
        training = merging.of(fill(experiment.training, hparams, number))
        data = datasets.load(training.data)
        varying = varied_for(state, number, experiment)
        program, knobs = split(training, data, platform, varying)
        return Work(
            training, program, knobs, data, costs=known_costs(training, data, platform, wanted)
        )

    return prepare


def _nobody(sentence: str) -> None:
    """Hears what nobody asked to be told."""


def _check_metric(search: SearchSpec, data: DataSet) -> None:
    for metric in search.goal.metrics:
        if metric in METRICS and data.task not in METRICS[metric][0]:
            known = [name for name, (tasks, _) in METRICS.items() if data.task in tasks]
            raise HpoError(
                f"search: {metric} is no metric of a {data.task}: use {', '.join(known)}."
            )


def _check_fit(experiment: Experiment, datasets: DataSets, device: Any) -> None:
    """Refuse batch sizes, budgets and models that the data do not fit before the first trial."""
    training, dimensions = experiment.training, experiment.space.by_path
    fills: list[HParams] = [{}]
    for path in ("data.batch_size", "model", "model.name"):
        if path in dimensions:
            distribution = dimensions[path].distribution
            values = (
                distribution.values if isinstance(distribution, Choice) else (distribution.high,)
            )
            fills += [{path: value} for value in values]
    for hparams in fills:
        candidate = fill(training, hparams, 0)
        data = datasets.load(candidate.data)
        program, _ = split(candidate, data, device.platform)
        abstract_model(program)
        place(data, candidate.data.batch_size, 1, budget_bytes(candidate.data, device))


def _resumed(state: StudyState, total: int) -> str:
    if len(state) >= total and all(trial.state.is_finished for trial in state.trials):
        count = count_text(len(state), "trial")
        return f"The study has ended with {count}: a larger --trials adds to it."
    begun = sum(states_of(state).values())
    return f"Resuming: {begun:,} of {count_text(total, 'trial')} started."
