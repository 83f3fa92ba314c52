"""Schedulers: which trials may train, and how far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

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
    return SCHEDULERS[spec.name](spec, epochs, trials)


def _auto(spec: AutoScheduler, epochs: int, trials: int) -> Scheduler:
    return make_scheduler(chosen_scheduler(spec, epochs), epochs, trials)


def _none(spec: NoScheduler, epochs: int, trials: int) -> Scheduler:
    return FullTraining(epochs, trials)


def _median(spec: Median, epochs: int, trials: int) -> Scheduler:
    brackets(spec, epochs, trials)
    return MedianRule(epochs, trials, spec.first_comparison(epochs), spec.startup_trials)


def _halving(spec: SuccessiveHalving | Hyperband | Bohb, epochs: int, trials: int) -> Scheduler:
    return Halving(brackets(spec, epochs, trials))


def _asha(spec: Asha, epochs: int, trials: int) -> Scheduler:
    (bracket,) = brackets(spec, epochs, trials)
    return AsynchronousHalving(bracket.budgets, spec.eta, trials)


def _patience(spec: Patience, epochs: int, trials: int) -> Scheduler:
    brackets(spec, epochs, trials)
    patience = spec.patience(epochs)
    return PlateauRule(epochs, trials, patience, spec.min_delta, spec.min_epochs)


def _optuna(spec: OptunaPruner, epochs: int, trials: int) -> Scheduler:
    from hpo.search.schedulers.optuna_pruners import PrunerRule

    return PrunerRule(spec.pruner, epochs, trials)


def _pbt(spec: Pbt, epochs: int, trials: int) -> Scheduler:
    return Populations(spec, epochs, trials)


# Each takes its own spec class, which a type for all of them cannot say.
SCHEDULERS: dict[str, Callable[[Any, int, int], Scheduler]] = {
    "auto": _auto,
    "none": _none,
    "median": _median,
    "successive_halving": _halving,
    "asha": _asha,
    "hyperband": _halving,
    "bohb": _halving,
    "patience": _patience,
    "optuna": _optuna,
    "pbt": _pbt,
}
