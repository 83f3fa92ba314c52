"""Synchronous successive halving: a rung is judged when all its trials have reached it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from hpo.search.jobs import in_priority, unfinished
from hpo.search.rungs import Bracket
from hpo.trial import Job, Trial


@dataclass(frozen=True)
class Halving:
    """Successive halving, and Hyperband, over fixed brackets: who goes on depends on losses alone.

    A bracket's trials wait at a rung for the others; the best go on, the rest are eliminated. A
    diverged trial keeps its place at the rung that it was training to, as the worst there, and
    never goes on. While a bracket waits, the next ones may start: whichever results arrive first,
    the study ends the same.

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
            rung, members = _standing(bracket, trials, alive)
            budget = bracket.budgets[rung]
            for number in alive.intersection(members):
                epochs = trials[number].epochs
                if epochs < budget:
                    is_at_rung = rung > 0 and epochs == bracket.budgets[rung - 1]
                    jobs = promotions if is_at_rung else continuations
                    jobs.append(Job(number, epochs, budget))
        begun = range(len(trials), min(self.total, len(trials) + window))
        return (
            *in_priority(promotions, continuations),
            *(Job(number, 0, self._bracket_of(number).budgets[0]) for number in begun),
        )

    def eliminated(self, trials: Sequence[Trial]) -> frozenset[int]:
        """Unfinished trials that were not among the best of a rung."""
        lost: set[int] = set()
        for bracket, alive in self._open_brackets(trials):
            _, members = _standing(bracket, trials, alive)
            lost.update(alive.difference(members))
        return frozenset(lost)

    def _open_brackets(self, trials: Sequence[Trial]) -> Iterator[tuple[Bracket, set[int]]]:
        """Brackets with trials that have been proposed and have not ended, and which those are."""
        numbers = (trial.number for trial in unfinished(trials))
        for first, alive in groupby(numbers, lambda number: self._bracket_of(number).first):
            yield self._bracket_of(first), set(alive)

    def _bracket_of(self, number: int) -> Bracket:
        return self.brackets[bisect_right(self._firsts, number) - 1]


def _standing(
    bracket: Bracket, trials: Sequence[Trial], alive: set[int]
) -> tuple[int, Sequence[int]]:
    """The rung that a bracket's trials are training to, and which they are.

    Trials of the first rung that have not been proposed yet are left out.
    """
    members: Sequence[int] = range(bracket.first, min(bracket.trials.stop, len(trials)))
    if len(trials) < bracket.trials.stop:
        return 0, members
    for rung, keep in enumerate(bracket.sizes[1:]):
        budget = bracket.budgets[rung]
        if any(trials[number].epochs < budget for number in alive.intersection(members)):
            return rung, members
        # The number breaks ties, so that a resumed study promotes the same trials.
        ranked = sorted(
            (trials[number].losses[budget - 1], number)
            for number in members
            if trials[number].epochs >= budget
        )
        members = [number for _, number in ranked[:keep]]
    return len(bracket.budgets) - 1, members
