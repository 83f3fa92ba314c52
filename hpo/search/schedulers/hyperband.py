"""Hyperband, and the brackets of BOHB: successive halving at several ratios of trials to budget."""

from __future__ import annotations

from hpo.search.schedulers.halving import Halving
from hpo.search.schedulers.rungs import budgets_of, in_turn
from hpo.spec.sections.scheduler import Bohb, Hyperband


def make_hyperband(spec: Hyperband | Bohb, epochs: int, trials: int) -> Halving:
    """The scheduler `hyperband` or `bohb` of a study.

    Raises:
        HpoError: if the first budget is more than the full one.
    """
    budgets = budgets_of(spec.min_epochs, epochs, spec.eta)
    return Halving(in_turn(hyperband_brackets(budgets, spec.eta), trials, spec.eta))


def hyperband_brackets(budgets: tuple[int, ...], eta: int) -> list[tuple[int, tuple[int, ...]]]:
    """One round of Hyperband: (trials, budgets) of the brackets s_max, ..., 0.

    Source: Li et al. 2018, "Hyperband" (JMLR 18), Algorithm 1: n = ceil((s_max + 1) / (s + 1) *
    eta^s). (Its Table 1 rounds (s_max + 1) / (s + 1) down first and so prints fewer trials.)
    """
    rungs = len(budgets)
    return [
        (-(-rungs * eta**s // (s + 1)), budgets[rungs - 1 - s :]) for s in reversed(range(rungs))
    ]
