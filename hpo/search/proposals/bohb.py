"""BOHB's part in proposals: a sampler fitted to one budget, and a share of random draws."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from hpo.search.levels import varying
from hpo.search.sampler import Given, Sampler, Setting, free
from hpo.search.samplers.random import RandomSearch, sampler_seed
from hpo.search.schedulers.rungs import rung_budgets
from hpo.space import SearchSpace
from hpo.spec.sections.scheduler import Bohb
from hpo.spec.sections.search import SamplerSpec
from hpo.trial import HParam, HParams, Trial, TrialState

# Names the purpose of a random stream, so that it is not that of a trial's draw.
_SHARE = 1

# Makes the bare sampler of a spec.
Make: TypeAlias = Callable[[SamplerSpec, SearchSpace, Setting], Sampler]


def fitted_per_rung(
    make: Make, spec: SamplerSpec, bohb: Bohb, space: SearchSpace, setting: Setting
) -> Sampler:
    """The sampler of a spec, fitted as the scheduler `bohb` wants it."""
    # BOHB itself decides from how many results on it fits.
    at_once = spec.model_copy(update={"startup_trials": 1})
    return FittedPerRung(
        lambda seed, given: make(
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


@dataclass(frozen=True)
class FittedPerRung:
    """Proposes by a sampler that sees the results of one budget: the highest with enough of them.

    Trials that have reached that budget appear as complete, with their loss there; those that
    diverged on the way to it appear as diverged. Other results are left out. Running trials without
    a result at that budget appear as running. Infeasible trials appear, too, because their shape
    breaks a constraint at every budget.

    A share of the trials are random draws, and so are all while no budget has `enough` results.
    `sampler_for(seed, given)` makes a new sampler for each proposal, because the trials that it
    sees get new numbers. Draws take over what is `given`, too.

    Source: Falkner, Klein and Hutter 2018, "BOHB: Robust and efficient hyperparameter optimization
    at scale" (ICML), Algorithm 2.
    """

    sampler_for: Callable[[int, HParams], Sampler]
    random: RandomSearch
    seed: int
    budgets: tuple[int, ...]
    random_share: float
    enough: int
    given: Given = free

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """Proposals for the next `n` trials, each aware of those before it."""
        asked = list(trials)
        for number in range(len(trials), len(trials) + n):
            asked.append(Trial(number, self._propose(number, asked)))
        return [dict(trial.hparams) for trial in asked[len(trials) :]]

    def shown(self, trials: Sequence[Trial]) -> list[Trial]:
        """The trials that the sampler sees; none while no budget has enough results."""
        for rung in reversed(range(len(self.budgets))):
            at_rung = [t for t in trials if self._has_result(t, rung)]
            if len(at_rung) < self.enough:
                continue
            results = [self._at(trial, self.budgets[rung]) for trial in at_rung]
            infeasible = [trial for trial in trials if trial.state is TrialState.INFEASIBLE]
            # Running trials with a result at this budget are among `results`.
            under_way = [
                Trial(trial.number, trial.hparams)
                for trial in trials
                if trial.state is TrialState.RUNNING and trial.epochs < self.budgets[rung]
            ]
            shown = [*results, *infeasible, *under_way]
            ordered = sorted(shown, key=lambda trial: trial.number)
            return [replace(trial, number=number) for number, trial in enumerate(ordered)]
        return []

    def _propose(self, number: int, trials: Sequence[Trial]) -> dict[str, HParam]:
        given = self.given(trials)
        rng = np.random.default_rng([self.seed, number, _SHARE])
        shown = [] if rng.random() < self.random_share else self.shown(trials)
        if not shown:
            return self.random.draw(number, given)
        (hparams,) = self.sampler_for(sampler_seed(self.seed, number), given).ask(shown, 1)
        return hparams

    def _has_result(self, trial: Trial, rung: int) -> bool:
        """Whether a trial has reached a rung, or has diverged on the way there."""
        if trial.state is TrialState.DIVERGED:
            return bisect_right(self.budgets, trial.epochs) >= rung
        return trial.epochs >= self.budgets[rung]

    def _at(self, trial: Trial, budget: int) -> Trial:
        if trial.epochs < budget:
            return replace(trial, state=TrialState.DIVERGED, losses=())
        return replace(trial, state=TrialState.COMPLETE, losses=trial.losses[:budget])
