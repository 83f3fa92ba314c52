"""Asynchronous successive halving (ASHA): a trial goes on once it is among the best so far."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from hpo.search.memory import Remembered
from hpo.search.scheduler import Bracket
from hpo.search.schedulers.jobs import Verdict, in_priority, starts, until_a_winner
from hpo.search.schedulers.rungs import budgets_of, rung_sizes
from hpo.spec.sections.scheduler import Asha
from hpo.trial import Job, Trial, Trials, TrialState


def make_asha(spec: Asha, epochs: int, trials: int) -> AsynchronousHalving:
    """The scheduler `asha` of a study.

    Raises:
        HpoError: if the first budget is more than the full one.
    """
    return AsynchronousHalving(budgets_of(spec.min_epochs, epochs, spec.eta), spec.eta, trials)


def promotable(
    ranked: Sequence[tuple[float, int]], waiting: Sequence[Trial], places: int
) -> list[Trial]:
    """The trials that wait at a rung and are among its best `places`.

    `ranked` holds (loss, number) of all trials that have reached the rung, the best first. In the
    paper the places are `|rung| / eta`.

    Source: Li et al. 2020, "A system for massively parallel hyperparameter tuning" (MLSys),
    Algorithm 2, `get_job`: the candidates are `top_k(rung k, |rung k| / eta)`, and those of them
    that have not been promoted are promotable.
    """
    if places == 0:
        return []
    if places >= len(ranked):
        return list(waiting)
    last = ranked[places - 1]
    return [trial for trial in waiting if (trial.losses[-1], trial.number) <= last]


class _Rung:
    """The trials judged at a budget; a diverged one counts at the rung that it was training to."""

    def __init__(self) -> None:
        # The number breaks ties, so that a resumed study promotes the same trials.
        self.ranked: list[tuple[float, int]] = []  # (loss, number), the best first
        self.diverged = 0

    @property
    def size(self) -> int:
        return len(self.ranked) + self.diverged


class _Ladder:
    """The rungs of a study, and the trials trained in full that keep the constraints."""

    def __init__(self, budgets: tuple[int, ...]) -> None:
        self._budgets = budgets
        self.rungs = [_Rung() for _ in budgets]
        self.winners: set[int] = set()

    def see(self, before: Trial | None, after: Trial) -> None:
        epochs = before.epochs if before else 0
        for rung, budget in zip(self.rungs, self._budgets, strict=True):
            if epochs < budget <= after.epochs:
                insort(rung.ranked, (after.losses[budget - 1], after.number))
        had_diverged = before is not None and before.state is TrialState.DIVERGED
        if after.state is TrialState.DIVERGED and not had_diverged:
            self.rungs[bisect_right(self._budgets, after.epochs)].diverged += 1
        if after.epochs >= self._budgets[-1] and after.violation <= 0:
            self.winners.add(after.number)
        else:
            self.winners.discard(after.number)


@dataclass(frozen=True)
class AsynchronousHalving:
    """ASHA, which pauses trials at rungs and promotes them.

    A trial at a rung is promoted when it is among the best 1/eta of those that have reached it so
    far; where none can be, another trial starts. No trial waits for another. The price: a few
    trials go on that would not have if the others had been there already, and the outcome depends
    on the order in which results arrive.

    Once all trials have started, the study ends with a winner: see `until_a_winner`. (With fewer
    than eta trials the paper would promote none.)
    """

    budgets: tuple[int, ...]
    eta: int
    total: int

    @cached_property
    def brackets(self) -> tuple[Bracket, ...]:
        """One bracket, with the sizes that it comes to where good and bad trials arrive mixed."""
        sizes = rung_sizes(self.total, len(self.budgets), self.eta)
        return (Bracket(0, sizes, self.budgets),)

    @cached_property
    def _ladder(self) -> Remembered[_Ladder]:
        return Remembered(lambda: _Ladder(self.budgets))

    def runnable(self, trials: Sequence[Trial], window: int) -> tuple[Job, ...]:
        """All work that may run now: promotions, continuations, starts."""
        promotions: list[Job] = []
        continuations: list[Job] = []
        for number, budget in self._judged(trials).going_on.items():
            epochs = trials[number].epochs
            jobs = promotions if epochs in self.budgets else continuations
            jobs.append(Job(number, budget))
        return (
            *in_priority(promotions, continuations),
            *starts(len(trials), self.total, window, self.budgets[0]),
        )

    def eliminated(self, trials: Sequence[Trial]) -> frozenset[int]:
        """Unfinished trials that would not be promoted whatever the results to come.

        A job under way is not taken back: leave its trial alone until it has reached its rung.
        """
        return frozenset(self._judged(trials).lost)

    def _judged(self, trials: Sequence[Trial]) -> Verdict:
        ladder = self._ladder.of(trials)
        waiting, moving = self._waiting_and_moving(trials)
        going_on = {trial.number: self._next_budget(trial) for trial in moving}
        lost: set[int] = set()
        # The most trials that may yet arrive at a rung: those not started and those on the way to
        # it, and from below those that wait and may be promoted.
        arriving = max(self.total - len(trials), 0)
        for budget, rung, at_rung in zip(self.budgets, ladder.rungs, waiting, strict=True):
            for trial in promotable(rung.ranked, at_rung, rung.size // self.eta):
                going_on[trial.number] = self._next_budget(trial)
            arriving += sum(self._next_budget(trial) == budget for trial in moving)
            hopeful = promotable(rung.ranked, at_rung, (rung.size + arriving) // self.eta)
            lost.update({trial.number for trial in at_rung}.difference(t.number for t in hopeful))
            arriving += len(hopeful)
        next_best: dict[int, int] = {}
        if len(trials) >= self.total:
            highest = next((at_rung for at_rung in reversed(waiting) if at_rung), [])
            best = sorted(highest, key=lambda trial: (trial.losses[-1], trial.number))[:1]
            next_best = {trial.number: self._next_budget(trial) for trial in best}
        return until_a_winner(Verdict(going_on, lost), next_best, bool(ladder.winners))

    def _waiting_and_moving(self, trials: Sequence[Trial]) -> tuple[list[list[Trial]], list[Trial]]:
        """The unfinished trials that have not gone on from each rung, and those between rungs."""
        at_budget: dict[int, list[Trial]] = {budget: [] for budget in self.budgets}
        moving: list[Trial] = []
        for trial in Trials.of(trials).unfinished:
            at_budget.get(trial.epochs, moving).append(trial)
        # A trial with the full budget has nowhere to go.
        return [*(at_budget[budget] for budget in self.budgets[:-1]), []], moving

    def _next_budget(self, trial: Trial) -> int:
        return self.budgets[bisect_right(self.budgets, trial.epochs)]
