"""Losses of trials that have trained for different budgets, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median, quantiles

from hpo.trial import Trial, TrialState


def comparable_losses(trials: Sequence[Trial]) -> dict[int, float]:
    """Each trial's expected loss at the longest budget so far, by number; {} if all diverged.

    A trial that stopped early is not a bad one, but its loss cannot be compared with those of
    trials that trained longer. So its last loss is moved by the median gain, from that epoch on, of
    the trials with the longest budget. Trials rank as they did at the epochs they have in common.
    Diverged trials count as the worst. Losses beyond Tukey's upper fence (1977: the third quartile
    plus 1.5 times the distance between the quartiles) are moved to it: one of 1e9 would flatten the
    rest.

    A trial that breaks the constraints is worse than all that keep them, in proportion to how much
    it breaks them. Infeasible trials, which never trained, are worse than all that did.

    Source: Deb 2000, "An efficient constraint handling method for genetic algorithms", equation 4.
    """
    alive = [trial for trial in trials if trial.losses and trial.state is not TrialState.DIVERGED]
    infeasible = [trial for trial in trials if trial.state is TrialState.INFEASIBLE]
    if not alive and not infeasible:
        return {}
    kept = {trial.number for trial in alive if trial.violation <= 0}
    expected = {n: loss for n, loss in _at_longest_budget(alive).items() if n in kept}
    worst = max(expected.values(), default=0.0)
    if len(expected) > 3:
        low, _, high = quantiles(expected.values(), method="inclusive")
        if low < high:
            worst = min(worst, high + 1.5 * (high - low))
    expected = {number: min(loss, worst) for number, loss in expected.items()}
    # As much again as the losses differ among themselves, or 1 where they do not.
    span = worst - min(expected.values(), default=worst) or 1.0
    expected |= _beyond(worst, span, [trial for trial in alive if trial.violation > 0])
    worst = max(expected.values(), default=worst)
    diverged = [trial for trial in trials if trial.state is TrialState.DIVERGED]
    expected |= dict.fromkeys((trial.number for trial in diverged), worst)
    expected |= _beyond(worst, span, infeasible)
    return {trial.number: expected[trial.number] for trial in trials if trial.number in expected}


def compared(trials: Sequence[Trial], objectives: int) -> dict[int, tuple[float, ...]]:
    """By number, the values by which each trial with a result is ranked among the others.

    With one objective this is the expected loss at the longest budget so far. With several it is
    the values of trials that ran in full. Running and diverged trials have no result. Constraints
    are left to the caller. Infeasible trials get the worst of every value, because nothing is known
    of them but how much they break the constraints.
    """
    ended = [t for t in trials if t.state not in (TrialState.RUNNING, TrialState.DIVERGED)]
    if objectives > 1:
        values = {t.number: t.values for t in ended if t.is_full}
    else:
        losses = _at_longest_budget([trial for trial in ended if trial.losses])
        values = {number: (loss,) for number, loss in losses.items()}
    worst = tuple(map(max, zip(*values.values(), strict=True))) or (0.0,) * objectives
    values |= {t.number: worst for t in ended if t.state is TrialState.INFEASIBLE}
    return {trial.number: values[trial.number] for trial in ended if trial.number in values}


def most_telling(losses: Mapping[int, float], limit: int) -> list[int]:
    """The numbers of the best trials and of the latest others, half and half, in order."""
    ranked = sorted(losses, key=lambda number: (losses[number], number))
    latest = sorted(ranked[limit // 2 :])[-(limit - limit // 2) :]
    return sorted(ranked[: limit // 2] + latest)


def _beyond(worst: float, span: float, trials: Sequence[Trial]) -> dict[int, float]:
    """The losses of trials that break the constraints: up to `span` beyond `worst`."""
    largest = max((trial.violation for trial in trials), default=0.0) or 1.0
    return {trial.number: worst + span * trial.violation / largest for trial in trials}


def _at_longest_budget(trials: Sequence[Trial]) -> dict[int, float]:
    """The last losses, each moved by the median gain of the trials with the longest budget."""
    longest = max((trial.epochs for trial in trials), default=0)
    furthest = [trial.losses for trial in trials if trial.epochs == longest]
    gain = {
        epochs: median(losses[-1] - losses[epochs - 1] for losses in furthest)
        for epochs in {trial.epochs for trial in trials}
    }
    return {trial.number: trial.losses[-1] + gain[trial.epochs] for trial in trials}
