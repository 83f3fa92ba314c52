"""Where trials stand among all, though some were stopped earlier than others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from hpo.trial import Trial, TrialState


def standings(trials: Sequence[Trial]) -> dict[int, float]:
    """The place of each trial that has a result, by number, between 0 for the best and 1.

    Trials are ranked by their losses after the fewest epochs at which one of them stands; then
    those with more share out the places that they hold among themselves anew, by their losses
    after the next number of epochs, and so on. So a trial is judged by its last loss, among those
    that have come as far; one that was stopped keeps its place behind those that were better there,
    and what those gained since, being the best, is not expected of it.

    What breaks the constraints stands behind all that keeps them, the farther the more it breaks
    them. Behind those stand the diverged trials, which share their places, and last the infeasible
    ones, by how much they break the constraints. Equals share their places. There are no standings
    while all have diverged.
    """
    alive = [trial for trial in trials if trial.losses and trial.state is not TrialState.DIVERGED]
    diverged = [trial.number for trial in trials if trial.state is TrialState.DIVERGED]
    infeasible = [trial for trial in trials if trial.state is TrialState.INFEASIBLE]
    if not alive and not infeasible:
        return {}
    total = len(alive) + len(diverged) + len(infeasible)
    places = {trial.number: (index + 0.5) / total for index, trial in enumerate(alive)}
    for epochs in sorted({trial.epochs for trial in alive}):
        reached = [trial for trial in alive if trial.epochs >= epochs]
        held = sorted(places[trial.number] for trial in reached)
        results = {trial.number: (trial.violation, trial.losses[epochs - 1]) for trial in reached}
        places |= _shared_out(held, results)
    places |= dict.fromkeys(diverged, (len(alive) + len(diverged) / 2) / total)
    last = [(index + 0.5) / total for index in range(total - len(infeasible), total)]
    return places | _shared_out(last, {t.number: (t.violation,) for t in infeasible})


def _shared_out(
    held: Sequence[float], results: Mapping[int, tuple[float, ...]]
) -> dict[int, float]:
    """The places `held`, the best first, shared out by results, the smallest first."""
    places: dict[int, float] = {}
    ranked = sorted(results, key=lambda number: (results[number], number))
    for _, group in groupby(ranked, key=results.__getitem__):
        same = list(group)
        start = len(places)
        places |= dict.fromkeys(same, sum(held[start : start + len(same)]) / len(same))
    return places
