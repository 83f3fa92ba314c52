"""Which trial of a study leads, and which has won: one order for all who tell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from hpo.trial import Trial, TrialState

Rank: TypeAlias = tuple[int, float, int, float, tuple[float, ...], int]


def rank(trial: Trial) -> Rank:
    """Where a trial with a result stands among others, the best first.

    Trials trained in full, which alone can win, come before all others, and diverged ones last.
    Among each the one that breaks the constraints least is ahead, then the one of more epochs, then
    that of the better loss; of several objectives the first decides, then the second, and so on.
    """
    match trial.state:
        case TrialState.COMPLETE:
            stage = 0
        case TrialState.DIVERGED:
            stage = 2
        case _:
            stage = 1
    loss = trial.losses[-1]
    # The values of several objectives start with that loss, so that the winner is on their front.
    return stage, trial.violation, -trial.epochs, loss, trial.values, trial.number


def ranking(trials: Iterable[Trial]) -> list[Trial]:
    """The trials that have a result, the leading one first."""
    return sorted((trial for trial in trials if trial.losses), key=rank)


def leading_trial(trials: Iterable[Trial]) -> Trial | None:
    """The first of the ranking: the winner where there is one; None without any result."""
    return min((trial for trial in trials if trial.losses), key=rank, default=None)


def winner(trials: Iterable[Trial], epochs: int) -> Trial | None:
    """The first of those that trained for all `epochs` and keep the constraints; None for none."""
    return leading_trial(
        trial
        for trial in trials
        if trial.state is TrialState.COMPLETE and trial.epochs == epochs and trial.violation == 0
    )
