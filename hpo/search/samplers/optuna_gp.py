"""The sampler `optuna_gp`: Bayesian optimisation by Optuna's `GPSampler`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpo.search.levels import assemble
from hpo.search.optuna_view import OptunaView
from hpo.search.results.comparing import compared, most_telling
from hpo.search.sampler import Setting
from hpo.search.samplers.random import RandomSearch, sampler_seed
from hpo.space import SearchSpace
from hpo.spec.sections.search import OptunaGp
from hpo.trial import HParam, HParams, Trial, TrialState

# The most trials that a process is fitted to. Fitting takes cubic time: half a second at 300.
_HISTORY = 300


def make_optuna_gp(spec: OptunaGp, space: SearchSpace, setting: Setting) -> OptunaGpSearch:
    """The sampler `optuna_gp` of a study."""
    return OptunaGpSearch(space, setting.seed, spec.startup_trials, setting.objectives)


class OptunaGpSearch:
    """Fits a Gaussian process to the trials' values and maximises the expected improvement.

    It takes several objectives (expected hypervolume improvement) and constraints (the probability
    of keeping them). With one objective trials are compared by `comparable_losses`, and the process
    sees the best 150 and the latest 150 others; with several, the latest 300 that ran in full. The
    process imputes the values of running trials. Inactive dimensions lie in the middle of their
    range. The first `startup_trials` are random draws.

    An ask is a function of the seed, the trial's number and the trials: each gets a fresh
    `GPSampler`.

    Source: Ament et al. 2023, "Unexpected improvements to expected improvement for Bayesian
    optimization" (NeurIPS), which it maximises.
    """

    def __init__(self, space: SearchSpace, seed: int, startup_trials: int, objectives: int) -> None:
        self._space = space
        self._seed = seed
        self._startup_trials = startup_trials
        self._objectives = objectives
        self._random = RandomSearch(space, seed)
        self._view = OptunaView(space, objectives)

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """Proposals for the next `n` trials, each aware of those before it."""
        values = compared(trials, self._objectives)
        if len(values) < self._startup_trials or not self._view.distributions:
            return self._random.ask(trials, n)
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        if self._objectives == 1:
            seen = most_telling({number: loss for number, (loss,) in values.items()}, _HISTORY)
        else:
            seen = list(values)[-_HISTORY:]
        asked = list(trials)
        # Matrices this small gain nothing from a second thread, which would wait in a busy loop.
        with threadpool_limits(limits=1):
            for number in range(len(trials), len(trials) + n):
                asked.append(Trial(number, self._propose(number, asked, seen, values)))
        return [dict(trial.hparams) for trial in asked[len(trials) :]]

    def _propose(
        self,
        number: int,
        trials: Sequence[Trial],
        seen: Sequence[int],
        values: dict[int, tuple[float, ...]],
    ) -> dict[str, HParam]:
        import optuna
        from optuna.trial import TrialState as OptunaState

        is_constrained = any(trials[n].violation > 0 for n in seen)
        self._view.shown[:] = [
            self._view.frozen(
                n,
                self._whole(trials[n].hparams),
                OptunaState.COMPLETE,
                values[n],
                # Optuna expects it of all trials or of none.
                attributes={"constraints:all": trials[n].violation} if is_constrained else None,
            )
            for n in seen
        ]
        self._view.shown += [
            self._view.frozen(trial.number, self._whole(trial.hparams), OptunaState.RUNNING)
            for trial in trials
            if trial.state is TrialState.RUNNING
        ]
        sampler = optuna.samplers.GPSampler(
            seed=sampler_seed(self._seed, number), n_startup_trials=0
        )
        # Where one point is far better than all others, Optuna divides their probabilities by zero
        # and goes on from that point alone.
        with np.errstate(invalid="ignore"):
            sampled = sampler.sample_relative(
                self._view.study(sampler),
                self._view.frozen(number, {}, OptunaState.RUNNING),
                self._view.optuna,
            )
        return assemble(
            self._space, {path: self._view.value(path, value) for path, value in sampled.items()}
        )

    def _whole(self, hparams: HParams) -> dict[str, HParam]:
        """A value for every dimension that varies: inactive ones in mid-range."""
        return {
            path: hparams[path] if path in hparams else distribution.at(0.5)
            for path, distribution in self._view.distributions.items()
        }
