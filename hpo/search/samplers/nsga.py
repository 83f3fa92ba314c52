"""The samplers `nsga2` and `nsga3`: genetic search, by Optuna."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.search.levels import assemble
from hpo.search.optuna_view import OptunaView, violations
from hpo.search.results.comparing import compared
from hpo.search.sampler import Setting
from hpo.search.samplers.random import RandomSearch, sampler_seed
from hpo.space import SearchSpace
from hpo.spec.sections.search import Nsga
from hpo.trial import HParam, HParams, Trial

if TYPE_CHECKING:
    import optuna
    from optuna.samplers._ga._base import BaseGASampler

# A generation is a tenth of the study's trials, within these limits.
_FEWEST, _MOST = 10, 50


def generation_size(trials: int) -> int:
    """The trials of a generation: a tenth of the study's, from 10 to 50."""
    return min(max(trials // 10, _FEWEST), _MOST)


def make_nsga(spec: Nsga, space: SearchSpace, setting: Setting) -> GeneticSearch:
    """The sampler `nsga2` or `nsga3` of a study."""
    population = spec.population or generation_size(setting.trials)
    make = nsga2 if spec.name == "nsga2" else nsga3
    return GeneticSearch(space, setting.seed, population, setting.objectives, make)


class GeneticSearch:
    """Crosses and mutates the best trials so far; the first generation is random.

    Trials with a result, in the order of their numbers, are cut into generations of `population`.
    The best of each generation and its parents become the parents of the next, front by front. Of
    the front that does not fit, NSGA-II takes those in the least crowded places. NSGA-III takes
    those nearest to evenly spread directions. A trial that breaks the constraints is worse
    than one that keeps them. Running trials belong to no generation yet, diverged ones never.

    With one objective, trials are compared by `comparable_losses`, so that a paused trial does not
    count as a bad one.

    Inactive dimensions are genes, too: they are inherited and mutate unseen, with the trial's own
    random draw as their value. So conditional spaces are searched like any other.

    An ask is a function of the seed, the trial's number and the trials. Random choices in the
    selection follow from the seed and the generation's number.

    Sources: Deb et al. 2002, "A fast and elitist multiobjective genetic algorithm: NSGA-II" (IEEE
    TEVC 6); Deb and Jain 2014, "An evolutionary many-objective optimization algorithm using
    reference-point-based nondominated sorting approach, part I" (IEEE TEVC 18).
    """

    def __init__(
        self,
        space: SearchSpace,
        seed: int,
        population: int,
        objectives: int,
        make: Callable[[int, int], BaseGASampler],
    ) -> None:
        self._space = space
        self._seed = seed
        self._population = population
        self._objectives = objectives
        self._make = make
        self._random = RandomSearch(space, seed)
        self._view = OptunaView(space, objectives)
        # The attribute in which Optuna notes a trial's generation.
        self._key = make(population, 0)._get_generation_key()
        self._results: list[tuple[int, tuple[float, ...], float]] = []
        self._ranked: list[optuna.trial.FrozenTrial] = []
        self._selected = 0  # generations whose parents have been chosen

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """Proposals for the next `n` trials; they do not depend on one another."""
        generation = self._follow(trials)
        numbers = range(len(trials), len(trials) + n)
        if generation == 0 or not self._view.distributions:
            return [self._random.draw(number) for number in numbers]
        return [self._propose(number, generation) for number in numbers]

    def _propose(self, number: int, generation: int) -> dict[str, HParam]:
        from optuna.trial import TrialState as OptunaState

        sampler = self._make(self._population, sampler_seed(self._seed, number))
        study = self._view.study(sampler)
        child = self._view.frozen(
            number, {}, OptunaState.RUNNING, attributes={self._key: generation}
        )
        sampled = sampler.sample_relative(study, child, self._view.optuna)
        # Optuna leaves it to the caller to draw genes that mutate.
        values = self._genes(number, {})
        values |= {path: self._view.value(path, value) for path, value in sampled.items()}
        return assemble(self._space, values)

    def _follow(self, trials: Sequence[Trial]) -> int:
        """Show Optuna the parents of the next generation; returns that generation's number."""
        results = [
            (number, values, trials[number].violation)
            for number, values in compared(trials, self._objectives).items()
        ]
        if self._results != results[: len(self._results)]:
            self._results.clear()
            self._ranked.clear()
            self._view.forget()
            self._selected = 0
        for number, values, _ in results[len(self._results) :]:
            self._ranked.append(self._as_frozen(trials[number], values, len(self._ranked)))
        self._results = results
        generation = len(results) // self._population
        for index in range(self._selected + 1, generation + 1):
            # Optuna looks at the last generation and its parents, and notes its choice.
            last = self._ranked[(index - 1) * self._population : index * self._population]
            self._view.shown += last
            selecting = self._make(self._population, sampler_seed(self._seed + 1, index))
            study = self._view.study(selecting)
            self._view.shown[:] = selecting.get_parent_population(study, index)
        self._selected = generation
        return generation

    def _as_frozen(
        self, trial: Trial, values: tuple[float, ...], place: int
    ) -> optuna.trial.FrozenTrial:
        from optuna.trial import TrialState as OptunaState

        generation = {self._key: place // self._population}
        return self._view.frozen(
            trial.number,
            self._genes(trial.number, trial.hparams),
            OptunaState.COMPLETE,
            values,
            attributes=generation | violations(trial),
        )

    def _genes(self, number: int, hparams: HParams) -> dict[str, HParam]:
        """A value for every dimension: those of `hparams`, and a draw for each of the others."""
        rng = np.random.default_rng([self._seed, number, 2])
        drawn = {
            dimension.path: dimension.distribution.at(float(position))
            for dimension, position in zip(
                self._space.dimensions, rng.random(len(self._space)), strict=True
            )
        }
        return {**drawn, **hparams}


def nsga2(population: int, seed: int) -> Any:
    """Optuna's NSGA-II sampler."""
    from optuna.samplers import NSGAIISampler

    return NSGAIISampler(population_size=population, seed=seed)


def nsga3(population: int, seed: int) -> Any:
    """Optuna's NSGA-III sampler."""
    import warnings

    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import NSGAIIISampler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return NSGAIIISampler(population_size=population, seed=seed)
