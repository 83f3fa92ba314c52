"""Synchronous successive halving: a rung is judged when all its trials have reached it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from hpo.search.scheduler import Bracket
from hpo.search.schedulers.jobs import Verdict, in_priority, until_a_winner
from hpo.search.schedulers.rungs import budgets_of, in_turn
from hpo.spec.sections.scheduler import SuccessiveHalving
from hpo.trial import Job, Trial, Trials, TrialState


def make_halving(spec: SuccessiveHalving, epochs: int, trials: int) -> Halving:
    """The scheduler `successive_halving` of a study: brackets that end with one trial each.

    Raises:
        HpoError: if the first budget is more than the full one.
    """
    budgets = budgets_of(spec.min_epochs, epochs, spec.eta)
    return Halving(in_turn([(spec.eta ** (len(budgets) - 1), budgets)], trials, spec.eta))


def top(losses: Mapping[int, float], places: int) -> list[int]:
    """The numbers of the best `places` trials, which go on from a rung.

    Source: Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter
    optimization" (AISTATS), Figure 3; Li et al. 2018, "Hyperband" (JMLR 18), Algorithm 1, `top_k`.
    """
    # The number breaks ties, so that a resumed study promotes the same trials.
    return sorted(losses, key=lambda number: (losses[number], number))[:places]


@dataclass(frozen=True)
class Halving:
    """Successive halving, and Hyperband, over fixed brackets: losses alone decide.

    A bracket's trials wait at a rung for the others, and the best go on. While a bracket waits, the
    next ones may start: whichever results arrive first, the study ends the same.

    The papers know no divergence. Here the next best of a rung takes the place of a trial that
    diverges on its way to the next rung. Each bracket ends with a winner: see `until_a_winner`. So
    a trial is eliminated only once its bracket has a winner and all places at the next rung are
    taken.
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
            for number, budget in _judged(bracket, trials, alive).going_on.items():
                epochs = trials[number].epochs
                jobs = promotions if epochs in bracket.budgets else continuations
                jobs.append(Job(number, budget))
        begun = range(len(trials), min(self.total, len(trials) + window))
        return (
            *in_priority(promotions, continuations),
            *(Job(number, self._bracket_of(number).budgets[0]) for number in begun),
        )

    def eliminated(self, trials: Sequence[Trial]) -> frozenset[int]:
        """Unfinished trials that would not go on even if others diverged."""
        lost: set[int] = set()
        for bracket, alive in self._open_brackets(trials):
            lost |= _judged(bracket, trials, alive).lost
        return frozenset(lost)

    def _open_brackets(self, trials: Sequence[Trial]) -> Iterator[tuple[Bracket, set[int]]]:
        """Brackets with trials that have been proposed and have not ended, and those trials."""
        numbers = (trial.number for trial in Trials.of(trials).unfinished)
        for first, alive in groupby(numbers, lambda number: self._bracket_of(number).first):
            yield self._bracket_of(first), set(alive)

    def _bracket_of(self, number: int) -> Bracket:
        return self.brackets[bisect_right(self._firsts, number) - 1]


def _judged(bracket: Bracket, trials: Sequence[Trial], alive: set[int]) -> Verdict:
    """What becomes of the trials of a bracket that have not ended."""
    budgets = bracket.budgets
    starting = {number: budgets[0] for number in alive if trials[number].epochs < budgets[0]}
    if starting or len(trials) < bracket.trials.stop:
        return Verdict(starting, frozenset())
    moving: dict[int, int] = {}
    spare: set[int] = set()
    next_best: dict[int, int] = {}
    for reached, budget, places in zip(budgets, budgets[1:], bracket.sizes[1:], strict=False):
        # A trial that diverged on the way to the next rung leaves its place to the next best.
        losses = {
            number: trials[number].losses[reached - 1]
            for number in bracket.trials
            if trials[number].epochs >= reached
            and (trials[number].epochs >= budget or trials[number].state is not TrialState.DIVERGED)
        }
        promoted = top(losses, places)
        waiting = {n: losses[n] for n in losses if n in alive and trials[n].epochs < budget}
        moving = {number: budget for number in promoted if number in waiting}
        if moving:
            break
        left = top({n: loss for n, loss in waiting.items() if n not in promoted}, len(waiting))
        spare.update(left)
        next_best = {left[0]: budget} if left else next_best
    has_winner = any(
        trials[number].epochs >= budgets[-1] and trials[number].violation <= 0
        for number in bracket.trials
    )
    return until_a_winner(Verdict(moving, spare), next_best, has_winner)
