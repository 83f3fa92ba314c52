"""What schedulers share: the order of jobs, and the winner that a study must end with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import NamedTuple

from hpo.search.scheduler import Bracket
from hpo.trial import Job, Trial, TrialState


class Verdict(NamedTuple):
    """A rule's decision: which trials train on, to which budget, and which never will again."""

    going_on: Mapping[int, int]
    lost: Set[int]


def until_a_winner(verdict: Verdict, next_best: Mapping[int, int], has_winner: bool) -> Verdict:
    """A rule's verdict, changed so that the study ends with a winner.

    Rules of papers know neither divergence nor constraints, and may leave no trial that is trained
    in full and keeps the constraints. Until there is one, no trial is lost, and where the rule lets
    none train on, the `next_best` does.
    """
    if has_winner:
        return verdict
    return Verdict(verdict.going_on or next_best, frozenset())


def one_rung(trials: int, epochs: int) -> tuple[Bracket, ...]:
    """One bracket of one rung: any trial may train in full."""
    return (Bracket(0, (trials,), (epochs,)),)


def has_just_completed(before: Trial | None, after: Trial) -> bool:
    """Whether a change of a trial completes it."""
    return after.state is TrialState.COMPLETE and not (before and before.state is after.state)


def in_priority(promotions: Iterable[Job], continuations: Iterable[Job]) -> tuple[Job, ...]:
    """Promotions to the highest rung first, then the work begun; ties by trial number."""
    return (
        # The number breaks ties, so that a resumed study promotes the same trials.
        *sorted(promotions, key=lambda job: (-job.to_epoch, job.trial)),
        *sorted(continuations),
    )


def starts(proposed: int, total: int, window: int, budget: int) -> tuple[Job, ...]:
    """The next trials to start, at most `window`, of the `total - proposed` that are left."""
    return tuple(Job(number, budget) for number in range(proposed, min(total, proposed + window)))
