"""Synchronous successive halving: a rung is judged when all its trials have reached it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

from hpo.search.schedulers.jobs import in_priority, unfinished
from hpo.search.schedulers.rungs import Bracket
from hpo.trial import Job, Trial, TrialState


@dataclass(frozen=True)
class Halving:
    """Successive halving, and Hyperband, over fixed brackets: who goes on depends on losses alone.

    A bracket's trials wait at a rung for the others, and the best go on. While a bracket waits, the
    next ones may start: whichever results arrive first, the study ends the same.

    The papers know no divergence. Here the next best of a rung takes the place of a trial that
    diverges on its way to the next rung; and where all that got on have diverged, the best of those
    that wait at the highest rung goes on, until one has been trained in full; one that breaks a
    constraint, which may show at the end alone, is no winner. So a trial is
    eliminated only once its bracket has a winner and all places at the next rung are taken.

    Sources: Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter
    optimization" (AISTATS), Figure 3; Li et al. 2018, "Hyperband" (JMLR 18), Algorithm 1.
    """

    brackets: tuple[Bracket, ...]

    @cached_property
    def total(self) -> int:
        """How many trials there are in all brackets."""
        return self.brackets[-1].trials.stop

    @cached_property
    def _firsts(self) -> list[int]:
        return [bracket.first for bracket in self.brackets]

    def runnable(self, trials: Sequence[Trial], window: int) -> tuple[Job, ...]:
        """All work that may run now: promotions, continuations, starts."""
        promotions: list[Job] = []
        continuations: list[Job] = []
        for bracket, alive in self._open_brackets(trials):
            for number, budget in _judged(bracket, trials, alive).moving.items():
                epochs = trials[number].epochs
                jobs = promotions if epochs in bracket.budgets else continuations
                jobs.append(Job(number, epochs, budget))
        begun = range(len(trials), min(self.total, len(trials) + window))
        return (
            *in_priority(promotions, continuations),
            *(Job(number, 0, self._bracket_of(number).budgets[0]) for number in begun),
        )

    def eliminated(self, trials: Sequence[Trial]) -> frozenset[int]:
        """Unfinished trials that no divergence of others could bring on any more."""
        lost: set[int] = set()
        for bracket, alive in self._open_brackets(trials):
            lost |= _judged(bracket, trials, alive).lost
        return frozenset(lost)

    def _open_brackets(self, trials: Sequence[Trial]) -> Iterator[tuple[Bracket, set[int]]]:
        """Brackets with trials that have been proposed and have not ended, and which those are."""
        numbers = (trial.number for trial in unfinished(trials))
        for first, alive in groupby(numbers, lambda number: self._bracket_of(number).first):
            yield self._bracket_of(first), set(alive)

    def _bracket_of(self, number: int) -> Bracket:
        return self.brackets[bisect_right(self._firsts, number) - 1]


class _Judged(NamedTuple):
    """A bracket as it stands: who trains on to which budget, and who never will again."""

    moving: dict[int, int]
    lost: set[int]


def _judged(bracket: Bracket, trials: Sequence[Trial], alive: set[int]) -> _Judged:
    """What is to become of the trials of a bracket that have not ended."""
    budgets = bracket.budgets
    moving = {number: budgets[0] for number in alive if trials[number].epochs < budgets[0]}
    if moving or len(trials) < bracket.trials.stop:
        return _Judged(moving, set())
    has_winner = any(
        trials[number].epochs >= budgets[-1] and trials[number].violation <= 0
        for number in bracket.trials
    )
    spare: list[int] = []
    next_best: dict[int, int] = {}
    for reached, budget, places in zip(budgets, budgets[1:], bracket.sizes[1:], strict=False):
        # The number breaks ties, so that a resumed study promotes the same trials.
        ranked = sorted(
            (trials[number].losses[reached - 1], number)
            for number in bracket.trials
            if trials[number].epochs >= reached
        )
        left: list[int] = []
        for _, number in ranked:
            is_short = trials[number].epochs < budget
            if places and not (is_short and trials[number].state is TrialState.DIVERGED):
                places -= 1
                if is_short and number in alive:
                    moving[number] = budget
            elif is_short and number in alive:
                left.append(number)
        if moving:
            break
        spare += left
        next_best = {left[0]: budget} if left else next_best
    if has_winner:
        return _Judged(moving, set(spare))
    return _Judged(moving or next_best, set())
