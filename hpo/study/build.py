"""Builds what drives an open study: its rules, its executor, the driver and those who look on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hpo.registry import SCHEDULERS
from hpo.search.proposals.stack import is_learning, make_sampler, setting_of
from hpo.search.schedulers.explore import explorer_of
from hpo.search.schedulers.make import make_scheduler
from hpo.spec.sections.scheduler import SchedulerSpec, budget_of
from hpo.spec.sections.search import SearchSpec
from hpo.study.backends.backend import Crew
from hpo.study.kept.files import kept_folder
from hpo.study.loop.deciding import Rules
from hpo.study.loop.driver import Driver
from hpo.study.loop.keeping import Keeper
from hpo.study.loop.replicas import Replicas
from hpo.study.loop.states import States
from hpo.study.open import OpenStudy
from hpo.study.progress import Progress, Watcher
from hpo.study.storage.checkpoints import CheckpointFolder, CheckpointWriter
from hpo.study.surroundings import Surroundings
from hpo.study.times import RunTimes, TimedExecutor, TimedSampler
from hpo.study.warm_start import learnt_from_sources, warm_start_of

if TYPE_CHECKING:
    from hpo.study.baselines.beside import Baselines  # imports JAX


@dataclass(frozen=True)
class Machinery:
    """What drives a study, and what tells of it while it runs."""

    driver: Driver
    watcher: Watcher
    crew: Crew
    checkpoints: CheckpointWriter
    baselines: Baselines | None
    keeper: Keeper | None = None


def build(
    study: OpenStudy,
    around: Surroundings,
    times: RunTimes,
    stack: ExitStack,
    watch: Callable[[Progress], None],
    say: Callable[[str], None],
) -> Machinery:
    """Build what drives a study. `stack` stops the threads that this starts."""
    journal = study.journal
    rules = _rules(study, say)
    folder = CheckpointFolder.beside(around.storage, study.record.name)
    folder.sweep(checkpoint.file for checkpoint in journal.state.checkpoints.values())
    writer = stack.enter_context(CheckpointWriter(folder))
    explain = say if around.explains else _ignore
    crew = study.backend.start(journal, explain, stack, learns=rules.is_learning)
    executor = TimedExecutor(crew.executor, times.driver)
    times.follow(executor.clocks)
    times.follow(lambda: {"writer": writer.stopwatch.read()})
    keeper = _keeper(study, around, stack)
    driver = Driver(
        replace(rules, sampler=TimedSampler(rules.sampler, times.driver)),
        journal,
        executor,
        States(writer),
        crew.prepare,
        crew.plans,
        study.experiment.study.checkpoint_seconds,
        keeper,
        crew.sizes,
    )
    watcher = Watcher(
        study.experiment, study.state, driver, lambda: executor.program_times().compiled, watch
    )
    baselines = study.backend.baselines(journal, study.spent_seconds)
    if baselines is not None:
        stack.callback(baselines.end)
    return Machinery(driver, watcher, crew, writer, baselines, keeper)


def _keeper(study: OpenStudy, around: Surroundings, stack: ExitStack) -> Keeper | None:
    """What keeps the weights of the best trials; None where none are kept."""
    if not study.search.keep_weights:
        return None
    folder = kept_folder(around.storage, study.record.name)
    keeper = Keeper(folder, study.search.keep_weights, study.backend.provenance)
    stack.enter_context(keeper).prune(study.state)
    return keeper


def _rules(study: OpenStudy, say: Callable[[str], None]) -> Rules:
    """What decides in a study, with what it has learnt from others and its user."""
    experiment, search, journal = study.experiment, study.search, study.journal
    setting = setting_of(experiment)
    learns = is_learning(search.sampler, experiment.space, setting)
    for learnt in learnt_from_sources(
        experiment, study.storage, study.backend.provenance, journal.state.notes, say, learns=learns
    ):
        journal.record(learnt)
    warm_start = warm_start_of(experiment, journal, say)
    scheduler = _in_losses(search)
    return Rules(
        sampler=make_sampler(search.sampler, experiment.space, setting, warm_start),
        scheduler_for=lambda trials: make_scheduler(scheduler, setting.epochs, trials),
        trials=search.trials,
        epochs=setting.epochs,
        is_learning=learns,
        replicas=Replicas.of(experiment.training, search.goal, budget_of(search.scheduler)),
        explorer=explorer_of(
            search.scheduler, experiment.space, setting.seed, type(experiment.training)
        ),
        stop=search.stop,
    )


def _in_losses(search: SearchSpec) -> SchedulerSpec:
    """The scheduler of a search, the bounds of its pruner turned to what is minimized."""
    scheduler = search.scheduler
    if search.goal.first.maximize and SCHEDULERS[scheduler.name].judges_values:
        return scheduler.in_losses()
    return scheduler


def _ignore(sentence: str) -> None:
    """Ignores the message (used without `--explain`)."""
