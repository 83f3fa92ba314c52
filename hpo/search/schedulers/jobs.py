"""Jobs in the order in which they should run, as every scheduler answers them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hpo.trial import Job, Trial, Trials, TrialState


def in_priority(promotions: Iterable[Job], continuations: Iterable[Job]) -> tuple[Job, ...]:
    """Promotions to the highest rung first, then the work begun; ties by trial number."""
    return (
        # The number breaks ties, so that a resumed study promotes the same trials.
        *sorted(promotions, key=lambda job: (-job.to_epoch, job.trial)),
        *sorted(continuations),
    )


def starts(proposed: int, total: int, window: int, budget: int) -> tuple[Job, ...]:
    """The next trials to start, at most `window`, of the `total - proposed` that are left."""
    return tuple(
        Job(number, 0, budget) for number in range(proposed, min(total, proposed + window))
    )


def unfinished(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that may train on."""
    if isinstance(trials, Trials):
        return list(trials.unfinished)
    # By identity, because schedulers are asked every round and a study may hold 10,000 trials.
    running, paused = TrialState.RUNNING, TrialState.PAUSED
    return [trial for trial in trials if trial.state is running or trial.state is paused]
