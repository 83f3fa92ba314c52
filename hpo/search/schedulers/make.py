"""The scheduler that a spec names, and what a study with it will train."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hpo import registry
from hpo.search.auto import chosen_scheduler
from hpo.search.scheduler import Bracket, Scheduler
from hpo.spec.sections.scheduler import SchedulerSpec, budget_of


def make_scheduler(spec: SchedulerSpec, epochs: int, trials: int) -> Scheduler:
    """The scheduler that a spec names, for `trials` of at most `epochs` each.

    Raises:
        HpoError: if the scheduler's first budget is more than the full one.
    """
    chosen = chosen_scheduler(spec, epochs)
    scheduler: Scheduler = registry.function("scheduler", chosen.name)(chosen, epochs, trials)
    return scheduler


@dataclass(frozen=True)
class Outline:
    """What a study will train: its brackets, and the epochs of all trials together.

    The epochs are exact if no trial diverges. On a share of the rows or pixels, each counts as
    much of one. With `is_upper_bound` they are the most that there can be: rules that stop trials,
    and ASHA, decide by results.
    """

    brackets: tuple[Bracket, ...]
    epochs: int
    is_upper_bound: bool

    @property
    def budgets(self) -> frozenset[int]:
        """The rungs of all brackets, in epochs."""
        return frozenset(budget for bracket in self.brackets for budget in bracket.budgets)


def outline(spec: SchedulerSpec, epochs: int, trials: int) -> Outline:
    """What a study of `trials` will train, each to at most `epochs`.

    Raises:
        HpoError: if the scheduler's first budget is more than the full one.
    """
    ladders, is_anew = make_scheduler(spec, epochs, trials).brackets, budget_of(spec) != "epochs"
    if registry.SCHEDULERS[chosen_scheduler(spec, epochs).name].epochs_vary:
        each = sum(ladders[0].budgets) if is_anew else epochs
        return Outline(ladders, trials * each, is_upper_bound=True)
    # Brackets of the same sizes repeat, so each kind is counted once.
    kinds = Counter((bracket.sizes, bracket.budgets) for bracket in ladders)
    brackets = ((Bracket(0, *kind), times) for kind, times in kinds.items())
    total = sum((b.epochs_anew if is_anew else b.epochs) * times for b, times in brackets)
    return Outline(ladders, total, is_upper_bound=False)
