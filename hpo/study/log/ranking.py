"""The ranking of a study's trials: its leading trial and its winner, the same everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from hpo.trial import Trial, TrialState

Rank: TypeAlias = tuple[int, float, int, float, tuple[float, ...], int]


def rank(trial: Trial) -> Rank:
    """The sort key of a trial with a result; the best comes first.

    Trials trained in full, which alone can win, come first, and diverged ones last. Within each
    group the smaller violation of the constraints wins, then more epochs, then the better loss.
    With several objectives the first decides, then the second, and so on.
    """
    match trial.state:
        case TrialState.COMPLETE:
            stage = 0
        case TrialState.DIVERGED:
            stage = 2
        case _:
            stage = 1
    loss = trial.losses[-1]
    # Values of several objectives start with that loss, so the winner is on their Pareto front.
    return stage, trial.violation, -trial.epochs, loss, trial.values, trial.number


def ranking(trials: Iterable[Trial]) -> list[Trial]:
    """The trials that have a result, the leading one first."""
    return sorted((trial for trial in trials if trial.losses), key=rank)


def leading_trial(trials: Iterable[Trial]) -> Trial | None:
    """The first of the ranking, which is the winner if there is one; None without results."""
    return min((trial for trial in trials if trial.losses), key=rank, default=None)


def winner(trials: Iterable[Trial]) -> Trial | None:
    """The best trial that is trained in full and keeps the constraints; None without one."""
    return leading_trial(trial for trial in trials if trial.is_full and trial.violation == 0)
