"""Samplers: what proposes the hparams of the next trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from hpo.errors import HpoError
from hpo.search.auto import AutoSearch, SamplerPicks, sampler_picks
from hpo.search.cohorts import Given, free
from hpo.search.proposals.distinct import Distinct
from hpo.search.proposals.knowledge import Knowledge, knowing
from hpo.search.samplers.random import RandomSearch
from hpo.search.schedulers.rungs import rung_budgets
from hpo.space import SearchSpace
from hpo.spec.sections.scheduler import Bohb, SchedulerSpec
from hpo.spec.sections.search import (
    AutoSampler,
    Cmaes,
    CurveGp,
    Grid,
    Nsga,
    OptunaGp,
    Qmc,
    Random,
    SamplerSpec,
    Surrogate,
    Tpe,
    missing_package,
)
from hpo.trial import HParam, Trial


class Sampler(Protocol):
    """Proposes hparams from all trials so far.

    What is proposed is a function of the seed, the trial's number and the trials: a sampler made
    anew and given the same trials proposes the same, so nothing of it needs to be stored. It may
    propose what has been tried; `Distinct` sees to the rest.
    """

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """Up to `n` proposals for the trials `len(trials)`, `len(trials) + 1`, ...

        Fewer than `n` once the space is exhausted. `trials[i].number` is `i`.
        """
        ...


@dataclass(frozen=True)
class Setting:
    """What a sampler is told of its study.

    `trials` is how many there will be in all, `epochs` the full budget of each, `objectives` how
    many metrics are searched for at once. `given` tells what a trial takes from its cohort.
    """

    seed: int
    trials: int
    epochs: int
    scheduler: SchedulerSpec
    objectives: int = 1
    given: Given = free


def make_sampler(
    spec: SamplerSpec, space: SearchSpace, setting: Setting, knowledge: Knowledge | None = None
) -> Sampler:
    """The sampler that a spec names, told what the study knows; it proposes nothing twice.

    Raises:
        HpoError: if it cannot search this space, or needs what is not installed.
    """
    if text := missing_package(spec):
        raise HpoError(f"search.sampler: {text}.")
    if isinstance(spec, AutoSampler):
        picks = _picks(space, setting).picks
        return AutoSearch(picks, lambda pick: make_sampler(pick, space, setting, knowledge))
    learns, known = spec.name not in BLIND, knowledge or Knowledge()
    if not learns:
        known = replace(known, lessons=())

    def bare(ranges: SearchSpace, given: Given) -> Sampler:
        told = replace(setting, given=given)
        if isinstance(setting.scheduler, Bohb):
            return _fitted_per_rung(spec, setting.scheduler, ranges, told)
        return SAMPLERS[spec.name](spec, ranges, told)

    return knowing(
        known,
        space,
        setting.seed,
        setting.given,
        bare,
        lambda sampler, ranges: Distinct(sampler, ranges, setting.seed, learns, setting.given),
    )


def is_learning(spec: SamplerSpec, space: SearchSpace, setting: Setting) -> bool:
    """Whether a sampler, or any that `auto` picks, looks at results."""
    picks = _picks(space, setting).picks if isinstance(spec, AutoSampler) else ()
    return any(one.name not in BLIND for one in [pick.spec for pick in picks] or [spec])


def _fitted_per_rung(
    spec: SamplerSpec, bohb: Bohb, space: SearchSpace, setting: Setting
) -> Sampler:
    from hpo.search.levels import varying
    from hpo.search.samplers.bohb import FittedPerRung

    # BOHB says itself from how many results on it fits.
    at_once = spec.model_copy(update={"startup_trials": 1})
    return FittedPerRung(
        lambda seed, given: SAMPLERS[spec.name](
            at_once, space, replace(setting, seed=seed, given=lambda _: given)
        ),
        RandomSearch(space, setting.seed),
        setting.seed,
        rung_budgets(bohb.min_epochs, setting.epochs, bohb.eta),
        bohb.random_share,
        # N_min of the paper, by default one more than there are dimensions, and two.
        (bohb.min_points or len(varying(space)) + 1) + 2,
        setting.given,
    )


def _random(spec: Random, space: SearchSpace, setting: Setting) -> Sampler:
    return RandomSearch(space, setting.seed)


def _grid(spec: Grid, space: SearchSpace, setting: Setting) -> Sampler:
    from hpo.search.samplers.grid import GridSearch

    return GridSearch(space, setting.seed)


def _tpe(spec: Tpe, space: SearchSpace, setting: Setting) -> Sampler:
    from hpo.search.samplers.tpe import TpeSearch

    return TpeSearch(
        space,
        setting.seed,
        spec.startup_trials,
        setting.objectives,
        spec.multivariate,
        setting.given,
    )


def _cmaes(spec: Cmaes, space: SearchSpace, setting: Setting) -> Sampler:
    from hpo.search.samplers.cmaes import CmaSearch
    from hpo.search.samplers.tpe import TpeSearch

    return CmaSearch(space, setting.seed, TpeSearch(space, setting.seed, spec.startup_trials))


def _genetic(spec: Nsga, space: SearchSpace, setting: Setting) -> Sampler:
    from hpo.search.samplers.nsga import GeneticSearch, generation_size, nsga2, nsga3

    population = spec.population or generation_size(setting.trials)
    make = nsga2 if spec.name == "nsga2" else nsga3
    return GeneticSearch(space, setting.seed, population, setting.objectives, make)


def _optuna_gp(spec: OptunaGp, space: SearchSpace, setting: Setting) -> Sampler:
    from hpo.search.samplers.optuna_gp import OptunaGpSearch

    return OptunaGpSearch(space, setting.seed, spec.startup_trials, setting.objectives)


def _surrogate(spec: Surrogate, space: SearchSpace, setting: Setting) -> Sampler:
    from hpo.search.samplers.skopt import SurrogateSearch

    return SurrogateSearch(spec, space, setting.seed)


def _qmc(spec: Qmc, space: SearchSpace, setting: Setting) -> Sampler:
    from hpo.search.samplers.qmc import QuasiRandomSearch

    return QuasiRandomSearch(space, setting.seed)


def _curve_gp(spec: CurveGp, space: SearchSpace, setting: Setting) -> Sampler:
    from hpo.search.samplers.curve_gp import CurveProcessSearch

    return CurveProcessSearch(
        space, setting.seed, setting.epochs, spec.startup_trials, setting.given
    )


def _picks(space: SearchSpace, setting: Setting) -> SamplerPicks:
    return sampler_picks(space, setting.trials, setting.scheduler, setting.objectives)


# Samplers that do not look at results: their proposals may be made ahead.
BLIND = frozenset({"random", "grid", "qmc"})

# Each takes its own spec class, which a type for all of them cannot say. `auto` picks among them.
SAMPLERS: dict[str, Callable[[Any, SearchSpace, Setting], Sampler]] = {
    "curve_gp": _curve_gp,
    "random": _random,
    "grid": _grid,
    "qmc": _qmc,
    "tpe": _tpe,
    "cmaes": _cmaes,
    "nsga2": _genetic,
    "nsga3": _genetic,
    "optuna_gp": _optuna_gp,
    "gp": _surrogate,
    "bayesian": _surrogate,
    "forest": _surrogate,
    "extra_trees": _surrogate,
    "boosted_trees": _surrogate,
}
