"""Jobs in the order in which they should run, and the winner that a study must end with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import NamedTuple

from hpo.trial import Job


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
