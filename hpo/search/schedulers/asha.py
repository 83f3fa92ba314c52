"""Asynchronous successive halving (ASHA): a trial goes on once it is among the best so far."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from hpo.search.schedulers.jobs import in_priority, starts, unfinished
from hpo.trial import Job, Trial, TrialState


class _Rung:
    """The trials judged at a budget; a diverged one counts at the rung that it was training to."""

    def __init__(self) -> None:
        # The number breaks ties, so that a resumed study promotes the same trials.
        self.ranked: list[tuple[float, int]] = []  # (loss, number), the best first
        self.diverged = 0

    @property
    def size(self) -> int:
        return len(self.ranked) + self.diverged


class _Rungs:
    """The rungs of a study, kept in step with its trials by looking at those that have changed.

    A memory for speed alone: it holds the same for the same trials, whatever it saw before.
    """

    def __init__(self) -> None:
        self._seen: list[Trial] = []
        self._rungs: list[_Rung] = []
        self.winners: set[int] = set()  # those trained in full that keep the constraints

    def follow(self, trials: Sequence[Trial], budgets: tuple[int, ...]) -> list[_Rung]:
        changed = [
            trial
            for number, trial in enumerate(trials)
            if number >= len(self._seen) or self._seen[number] is not trial
        ]
        if not self._rungs or not self._are_later(trials, changed):
            self._seen, self._rungs, changed = [], [_Rung() for _ in budgets], list(trials)
            self.winners.clear()
        for trial in changed:
            is_new = trial.number >= len(self._seen)
            before = Trial(trial.number, {}) if is_new else self._seen[trial.number]
            for rung, budget in zip(self._rungs, budgets, strict=True):
                if before.epochs < budget <= trial.epochs:
                    insort(rung.ranked, (trial.losses[budget - 1], trial.number))
            if trial.state is TrialState.DIVERGED and before.state is not TrialState.DIVERGED:
                self._rungs[bisect_right(budgets, trial.epochs)].diverged += 1
            if trial.epochs >= budgets[-1] and trial.violation <= 0:
                self.winners.add(trial.number)
            else:
                self.winners.discard(trial.number)
            self._seen[trial.number : trial.number + 1] = [trial]
        return self._rungs

    def _are_later(self, trials: Sequence[Trial], changed: Sequence[Trial]) -> bool:
        """Whether the trials may have come about from those seen before."""
        return len(trials) >= len(self._seen) and all(
            before.losses == trial.losses[: before.epochs]
            and (before.state is not TrialState.DIVERGED or before == trial)
            for trial in changed
            for before in self._seen[trial.number : trial.number + 1]
        )


@dataclass(frozen=True)
class AsynchronousHalving:
    """ASHA, which pauses trials at rungs and promotes them.

    A trial at a rung is promoted when it is among the best 1/eta of those that have reached it so
    far; where none can be, another trial starts. Nobody waits, at the price that a few trials go on
    which would not have if the others had been there already, and that the outcome depends on the
    order in which results arrive.

    A study must end with a winner, so we deviate in one thing: when all trials have started, none
    is under way and none can be promoted, and none has been trained in full that keeps the
    constraints, the best trial at the highest rung goes on. (With fewer than eta trials nobody
    would.)

    Source: Li et al. 2020, "A system for massively parallel hyperparameter tuning" (MLSys),
    Algorithm 2.
    """

    budgets: tuple[int, ...]
    eta: int
    total: int
    _rungs: _Rungs = field(default_factory=_Rungs, init=False, repr=False, compare=False)

    def runnable(self, trials: Sequence[Trial], window: int) -> tuple[Job, ...]:
        """All work that may run now: promotions, continuations, starts."""
        rungs = self._rungs.follow(trials, self.budgets)
        waiting, moving = self._waiting_and_moving(trials)
        promotions = [
            self._job(trial)
            for rung, at_rung in zip(rungs, waiting, strict=True)
            for trial in _among_best(rung, at_rung, rung.size // self.eta)
        ]
        if not promotions and not moving and len(trials) >= self.total and not self._rungs.winners:
            highest = next((at_rung for at_rung in reversed(waiting) if at_rung), [])
            promotions = [
                self._job(trial)
                for trial in sorted(highest, key=lambda trial: (trial.losses[-1], trial.number))[:1]
            ]
        return (
            *in_priority(promotions, [self._job(trial) for trial in moving]),
            *starts(len(trials), self.total, window, self.budgets[0]),
        )

    def eliminated(self, trials: Sequence[Trial]) -> frozenset[int]:
        """Unfinished trials that would not be promoted whatever the results to come.

        None before a trial has been trained in full: until then any may be the one that must be.
        A job under way is not taken back: leave its trial alone until it has reached its rung.
        """
        rungs = self._rungs.follow(trials, self.budgets)
        if not self._rungs.winners:
            return frozenset()
        waiting, moving = self._waiting_and_moving(trials)
        lost: set[int] = set()
        # The most trials that may yet arrive at a rung: those not started and those on the way to
        # it, and from below those that wait and may be promoted.
        arriving = max(self.total - len(trials), 0)
        for budget, rung, at_rung in zip(self.budgets, rungs, waiting, strict=True):
            arriving += sum(self._job(trial).to_epoch == budget for trial in moving)
            hopeful = _among_best(rung, at_rung, (rung.size + arriving) // self.eta)
            lost.update({trial.number for trial in at_rung}.difference(t.number for t in hopeful))
            arriving += len(hopeful)
        return frozenset(lost)

    def _waiting_and_moving(self, trials: Sequence[Trial]) -> tuple[list[list[Trial]], list[Trial]]:
        """The unfinished trials that have not gone on from each rung, and those between rungs."""
        at_budget: dict[int, list[Trial]] = {budget: [] for budget in self.budgets}
        moving: list[Trial] = []
        for trial in unfinished(trials):
            at_budget.get(trial.epochs, moving).append(trial)
        # Who has the full budget goes nowhere.
        return [*(at_budget[budget] for budget in self.budgets[:-1]), []], moving

    def _job(self, trial: Trial) -> Job:
        to_epoch = self.budgets[bisect_right(self.budgets, trial.epochs)]
        return Job(trial.number, trial.epochs, to_epoch)


def _among_best(rung: _Rung, waiting: Sequence[Trial], places: int) -> list[Trial]:
    """Those of the trials that wait at a rung which are among its best `places`."""
    if places == 0:
        return []
    if places >= len(rung.ranked):
        return list(waiting)
    last = rung.ranked[places - 1]
    return [trial for trial in waiting if (trial.losses[-1], trial.number) <= last]
