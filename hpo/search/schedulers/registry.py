"""Schedulers: which trials may train, and how far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hpo import registry
from hpo.search.auto import chosen_scheduler
from hpo.search.schedulers.asha import AsynchronousHalving
from hpo.search.schedulers.halving import Halving
from hpo.search.schedulers.median import FullTraining, MedianRule
from hpo.search.schedulers.patience import PlateauRule
from hpo.search.schedulers.pbt import Populations
from hpo.search.schedulers.rungs import brackets
from hpo.spec.sections.population import Pbt
from hpo.spec.sections.scheduler import (
    Asha,
    AutoScheduler,
    Bohb,
    Hyperband,
    Median,
    NoScheduler,
    OptunaPruner,
    Patience,
    SchedulerSpec,
    SuccessiveHalving,
)
from hpo.trial import Job, Trial


class Scheduler(Protocol):
    """Decides over work, from the trials' losses and whether they have ended.

    `trials[i].number` is `i`. Whether a trial waits or sits in a lane makes no difference: for each
    that may train there is a job from where it stands to its next comparison, and the study leaves
    out the jobs that are under way.
    """

    def runnable(self, trials: Sequence[Trial], window: int) -> tuple[Job, ...]:
        """All work that may run now, in order of priority.

        Promotions (to the highest rung first), continuations, and starts of up to `window` trials
        that have not been proposed yet; ties by trial number.
        """
        ...

    def eliminated(self, trials: Sequence[Trial]) -> frozenset[int]:
        """Numbers of unfinished trials that can never run again: the study ends them as pruned."""
        ...


def make_scheduler(spec: SchedulerSpec, epochs: int, trials: int) -> Scheduler:
    """The scheduler that a spec names, for so many `trials` of at most `epochs` each.

    Raises:
        HpoError: if the scheduler's first budget is more than the full one.
    """
    scheduler: Scheduler = registry.function("scheduler", spec.name)(spec, epochs, trials)
    return scheduler


def auto(spec: AutoScheduler, epochs: int, trials: int) -> Scheduler:
    return make_scheduler(chosen_scheduler(spec, epochs), epochs, trials)


def full(spec: NoScheduler, epochs: int, trials: int) -> Scheduler:
    return FullTraining(epochs, trials)


def median(spec: Median, epochs: int, trials: int) -> Scheduler:
    brackets(spec, epochs, trials)
    return MedianRule(epochs, trials, spec.first_comparison(epochs), spec.startup_trials)


def halving(spec: SuccessiveHalving | Hyperband | Bohb, epochs: int, trials: int) -> Scheduler:
    return Halving(brackets(spec, epochs, trials))


def asha(spec: Asha, epochs: int, trials: int) -> Scheduler:
    (bracket,) = brackets(spec, epochs, trials)
    return AsynchronousHalving(bracket.budgets, spec.eta, trials)


def patience(spec: Patience, epochs: int, trials: int) -> Scheduler:
    brackets(spec, epochs, trials)
    return PlateauRule(epochs, trials, spec.patience(epochs), spec.min_delta, spec.min_epochs)


def optuna(spec: OptunaPruner, epochs: int, trials: int) -> Scheduler:
    from hpo.search.schedulers.optuna_pruners import PrunerRule

    return PrunerRule(spec.pruner, epochs, trials)


def pbt(spec: Pbt, epochs: int, trials: int) -> Scheduler:
    return Populations(spec, epochs, trials)
