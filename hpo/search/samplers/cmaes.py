"""The sampler `cmaes`: the covariance matrix adaptation evolution strategy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpo.search.levels import is_stepped, level_count, position_of, varying
from hpo.search.results.comparing import comparable_losses
from hpo.search.sampler import Setting
from hpo.search.samplers.covariance import Normal
from hpo.search.samplers.tpe import TpeSearch
from hpo.space import Choice, SearchSpace
from hpo.spec.sections.search import Cmaes
from hpo.trial import HParam, Trial, TrialState

# The first generation covers the range: three deviations either side of its middle.
_STEP = 1 / 6


def make_cmaes(spec: Cmaes, space: SearchSpace, setting: Setting) -> CmaSearch:
    """The sampler `cmaes` of a study."""
    return CmaSearch(space, setting.seed, TpeSearch(space, setting.seed, spec.startup_trials))


class CmaSearch:
    """Draws from a normal distribution that moves towards good trials and stretches along them.

    The distribution covers every number that is always active and that no condition depends on. TPE
    searches the other dimensions (choices, conditional ones and those that conditions depend on),
    and spaces without such numbers. Whole numbers and steps are drawn on their scale and rounded.

    Trials with a result, in the order of their numbers, are cut into generations of
    `4 + 3 ln(dimensions)`. Each generation moves the distribution by the ranks of its trials, which
    are compared by `comparable_losses`; running trials belong to no generation yet. Once the
    distribution is too narrow it restarts at a random point, with twice the generation size.

    What is kept between asks only saves time: the distribution follows from the trials, and draws
    follow from the seed and the trial's number.

    Sources: Hansen 2016, "The CMA evolution strategy: a tutorial" (arXiv:1604.00772); Auger and
    Hansen 2005, "A restart CMA evolution strategy with increasing population size" (CEC).
    """

    def __init__(self, space: SearchSpace, seed: int, tpe: TpeSearch) -> None:
        self._space = space
        self._seed = seed
        self._tpe = tpe
        looked_at = {d.when.path for d in space.dimensions if d.when is not None}
        self._paths = [
            path
            for path, distribution in varying(space)
            if not isinstance(distribution, Choice)
            and space.by_path[path].when is None
            and path not in looked_at
        ]
        self._is_whole = len(self._paths) == len(varying(space))
        self._steps: list[_Step] = []

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """Proposals for the next `n` trials; the choices among them are aware of one another."""
        if not self._paths:
            return self._tpe.ask(trials, n)
        normal = self._distribution(trials)
        asked = list(trials)
        for number in range(len(trials), len(trials) + n):
            point = normal.draw(np.random.default_rng([self._seed, number, 3]))
            values = dict(zip(self._paths, point.tolist(), strict=True))
            hparams = self._constants() if self._is_whole else self._tpe.ask(asked, 1)[0]
            for path, place in values.items():
                distribution = self._space.by_path[path].distribution
                hparams[path] = distribution.at(min(place, math.nextafter(1.0, 0.0)))
            asked.append(Trial(number, hparams))
        return [dict(trial.hparams) for trial in asked[len(trials) :]]

    def _constants(self) -> dict[str, HParam]:
        """Every dimension in the order of the space; the caller replaces those that vary."""
        return self._space.at([0.5] * len(self._space))

    def _distribution(self, trials: Sequence[Trial]) -> Normal:
        """The distribution after every whole generation of `trials`."""
        losses = comparable_losses(trials)
        numbers = [n for n in losses if trials[n].state is not TrialState.RUNNING]
        restarts, at, index = 0, 0, 0
        normal = self._start(restarts)
        while len(numbers) - at >= normal.weights.population:
            generation = numbers[at : at + normal.weights.population]
            at += len(generation)
            ranked = tuple(sorted(generation, key=lambda number: (losses[number], number)))
            if index < len(self._steps) and self._steps[index].ranked != ranked:
                del self._steps[index:]
            if index == len(self._steps):
                normal = normal.update(np.array([self._point(trials[n]) for n in ranked]))
                if normal.has_converged:
                    restarts += 1
                    normal = self._start(restarts)
                self._steps.append(_Step(ranked, normal, restarts))
            normal, restarts = self._steps[index].normal, self._steps[index].restarts
            index += 1
        return normal

    def _start(self, restarts: int) -> Normal:
        n = len(self._paths)
        distributions = [self._space.by_path[path].distribution for path in self._paths]
        grain = [1 / (level_count(d) or 1) if is_stepped(d) else 0.0 for d in distributions]
        rng = np.random.default_rng([self._seed, restarts, 4])
        mean = np.full(n, 0.5) if restarts == 0 else rng.random(n)
        population = (4 + math.floor(3 * math.log(n))) * 2**restarts
        return Normal.start(mean, _STEP, np.array(grain), population)

    def _point(self, trial: Trial) -> list[float]:
        return [
            position_of(self._space.by_path[path].distribution, trial.hparams[path])
            for path in self._paths
        ]


@dataclass(frozen=True)
class _Step:
    """The distribution after a generation, and that generation's trials by rank."""

    ranked: tuple[int, ...]
    normal: Normal
    restarts: int
