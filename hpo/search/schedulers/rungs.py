"""Rungs and brackets: which trial is compared with which, at which budgets; whole numbers only.

Nothing here imports more than the specs, so that `hpo check` can print the plan at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from hpo.errors import HpoError
from hpo.search.auto import chosen_scheduler
from hpo.spec.sections.population import Pbt
from hpo.spec.sections.scheduler import (
    Asha,
    AutoScheduler,
    Bohb,
    Hyperband,
    Median,
    OptunaPruner,
    Patience,
    SchedulerSpec,
    SuccessiveHalving,
)


class Bracket(NamedTuple):
    """One ladder of rungs, for the trials `first`, `first + 1`, ...

    `sizes[k]` trials train to `budgets[k]` epochs, where the best `sizes[k + 1]` go on.
    """

    first: int
    sizes: tuple[int, ...]
    budgets: tuple[int, ...]

    @property
    def trials(self) -> range:
        """The numbers of its trials."""
        return range(self.first, self.first + self.sizes[0])

    @property
    def epochs(self) -> int:
        """The epochs trained in all: a trial that goes on does not start again."""
        before = (0, *self.budgets)
        return sum(
            size * (budget - start)
            for size, budget, start in zip(self.sizes, self.budgets, before, strict=False)
        )


@dataclass(frozen=True)
class Outline:
    """What a study will train: its brackets and the epochs of all its trials together.

    The epochs are exact if no trial diverges, or, with `is_upper_bound`, at most that many:
    rules that stop trials, and ASHA, decide by what the trials turn out to be. ASHA's sizes are
    then those that it comes to where good and bad trials arrive mixed.
    """

    brackets: tuple[Bracket, ...]
    epochs: int
    is_upper_bound: bool


def rung_budgets(min_budget: int, max_budget: int, eta: int = 3) -> tuple[int, ...]:
    """Budgets (epochs) at which trials are compared, smallest first; the last is a full run.

    Each rung has at least `eta` times the budget of the one before; `(1, 3, 9, 27)` for 1 to 27.

    Raises:
        ValueError: unless 1 <= min_budget <= max_budget and eta >= 2.

    Source: Li et al. 2018, "Hyperband" (arXiv:1603.06560), Algorithm 1, inner loop.
    """
    if not 1 <= min_budget <= max_budget or eta < 2:
        raise ValueError(f"no rungs for {min_budget=}, {max_budget=}, {eta=}")
    budgets = [max_budget]
    # Whole-number division: floor(log(243, 3)) is 4 in floating point and would lose a rung.
    while budgets[-1] // eta >= min_budget:
        budgets.append(budgets[-1] // eta)
    return tuple(reversed(budgets))


def rung_sizes(trials: int, rungs: int, eta: int) -> tuple[int, ...]:
    """How many of a bracket's trials train to each rung: 1 in `eta` goes on, and at least one.

    Source: Li et al. 2018, Algorithm 1, inner loop; that one goes on is ours, for brackets that the
    end of the study cuts short.
    """
    sizes = [trials]
    while len(sizes) < rungs:
        sizes.append(max(1, sizes[-1] // eta))
    return tuple(sizes)


def brackets(spec: SchedulerSpec, epochs: int, trials: int) -> tuple[Bracket, ...]:
    """The brackets of a study, in the order of their trials; the last may be cut short.

    Raises:
        HpoError: if the scheduler's first budget is more than the full one.
    """
    match spec:
        case AutoScheduler():
            return brackets(chosen_scheduler(spec, epochs), epochs, trials)
        case Median() | Patience():
            _check_min_epochs(spec.min_epochs or 1, epochs)
            return (Bracket(0, (trials,), (epochs,)),)
        case Asha():
            budgets = _budgets(spec, epochs)
            return (Bracket(0, rung_sizes(trials, len(budgets), spec.eta), budgets),)
        case SuccessiveHalving():
            budgets = _budgets(spec, epochs)
            return _in_turn([(spec.eta ** (len(budgets) - 1), budgets)], trials, spec.eta)
        case Hyperband() | Bohb():
            return _in_turn(_hyperband(_budgets(spec, epochs), spec.eta), trials, spec.eta)
        case Pbt():
            size = spec.population
            return tuple(
                Bracket(first, (min(size, trials - first),), (epochs,))
                for first in range(0, trials, size)
            )
        case _:
            return (Bracket(0, (trials,), (epochs,)),)


def outline(spec: SchedulerSpec, epochs: int, trials: int) -> Outline:
    """What a study of so many `trials` will train, each to at most `epochs`.

    Raises:
        HpoError: if the scheduler's first budget is more than the full one.
    """
    spec = chosen_scheduler(spec, epochs)
    ladders = brackets(spec, epochs, trials)
    if isinstance(spec, Median | Asha | Patience | OptunaPruner):
        return Outline(ladders, trials * epochs, is_upper_bound=True)
    # Brackets of the same sizes come over and over, so each kind is counted once.
    kinds = Counter((bracket.sizes, bracket.budgets) for bracket in ladders)
    total = sum(Bracket(0, *kind).epochs * times for kind, times in kinds.items())
    return Outline(ladders, total, is_upper_bound=False)


def _hyperband(budgets: tuple[int, ...], eta: int) -> list[tuple[int, tuple[int, ...]]]:
    """One round of Hyperband: (trials, budgets) of the brackets s_max, ..., 0.

    Source: Li et al. 2018, Algorithm 1: n = ceil((s_max + 1) / (s + 1) * eta^s). (Its Table 1
    rounds (s_max + 1) / (s + 1) down first and so prints fewer trials.)
    """
    rungs = len(budgets)
    return [
        (-(-rungs * eta**s // (s + 1)), budgets[rungs - 1 - s :]) for s in reversed(range(rungs))
    ]


def _in_turn(
    ladders: Sequence[tuple[int, tuple[int, ...]]], trials: int, eta: int
) -> tuple[Bracket, ...]:
    """Brackets of these sizes and budgets, over and over until the trials are used up."""
    if all(len(budgets) == 1 for _, budgets in ladders):
        # Nobody is compared, so that where one bracket ends and the next begins means nothing.
        return (Bracket(0, (trials,), ladders[0][1]),)
    one_round = [(rung_sizes(size, len(budgets), eta), budgets) for size, budgets in ladders]
    offsets = list(accumulate((size for size, _ in ladders), initial=0))
    length = offsets.pop()
    # A comprehension, because `hpo check` waits for what may be half a million brackets.
    found = [
        Bracket(start + offset, sizes, budgets)
        for start in range(0, trials, length)
        for offset, (sizes, budgets) in zip(offsets, one_round, strict=True)
        if start + offset < trials
    ]
    first, sizes, budgets = found[-1]
    last = rung_sizes(min(sizes[0], trials - first), len(budgets), eta)
    return (*found[:-1], Bracket(first, last, budgets))


def _budgets(spec: Asha | SuccessiveHalving | Hyperband | Bohb, epochs: int) -> tuple[int, ...]:
    _check_min_epochs(spec.min_epochs, epochs)
    return rung_budgets(spec.min_epochs, epochs, spec.eta)


def _check_min_epochs(min_epochs: int, epochs: int) -> None:
    if min_epochs > epochs:
        raise HpoError(
            f"search.scheduler.min_epochs ({min_epochs}) is more than train.epochs ({epochs}): "
            "lower it, or train for longer."
        )
