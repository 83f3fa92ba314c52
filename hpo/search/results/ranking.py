"""Ranks of trials among each other, although some were stopped earlier than others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from hpo.trial import Trial, TrialState


def quantile_ranks(trials: Sequence[Trial]) -> dict[int, float]:
    """The rank of each trial that has a result, by number, from 0 for the best to 1.

    Trials are ranked by their losses at the smallest epoch at which one of them ended. The trials
    with more epochs then divide their ranks among themselves, by their losses at the next
    epoch at which one ended, and so on. So a trial is judged by its last loss, among those trained
    as long. A stopped trial keeps its rank behind those that were better at that epoch.

    A trial that breaks the constraints ranks behind all that keep them, the more it breaks them the
    further behind. Next come the diverged trials, which tie, and last the infeasible ones, by how
    much they break the constraints. Ties share the mean of their ranks. There are no ranks while
    all trials have diverged.
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
        places |= _divided(held, results)
    places |= dict.fromkeys(diverged, (len(alive) + len(diverged) / 2) / total)
    last = [(index + 0.5) / total for index in range(total - len(infeasible), total)]
    return places | _divided(last, {t.number: (t.violation,) for t in infeasible})


def _divided(held: Sequence[float], results: Mapping[int, tuple[float, ...]]) -> dict[int, float]:
    """The ranks `held`, the best first, divided by results, the smallest first; ties share."""
    places: dict[int, float] = {}
    ranked = sorted(results, key=lambda number: (results[number], number))
    for _, group in groupby(ranked, key=results.__getitem__):
        same = list(group)
        start = len(places)
        places |= dict.fromkeys(same, sum(held[start : start + len(same)]) / len(same))
    return places
