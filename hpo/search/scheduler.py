"""What a scheduler is: it decides which trials may train, and how far."""

from __future__ import annotations

from collections.abc import Sequence
from operator import mul
from typing import NamedTuple, Protocol, runtime_checkable

from hpo.trial import Job, Trial


class Bracket(NamedTuple):
    """One ladder of rungs, for the trials `first`, `first + 1`, ...

    `sizes[k]` trials train to `budgets[k]` epochs, where the best `sizes[k + 1]` go on.
    """

    first: int
    sizes: tuple[int, ...]
    budgets: tuple[int, ...]

    @property
    def trials(self) -> range:
        """The numbers of its trials."""
        return range(self.first, self.first + self.sizes[0])

    @property
    def epochs(self) -> int:
        """The epochs trained in all: a trial that goes on does not start again."""
        before = (0, *self.budgets)
        return sum(
            size * (budget - start)
            for size, budget, start in zip(self.sizes, self.budgets, before, strict=False)
        )

    @property
    def epochs_anew(self) -> int:
        """The epochs trained in all where a trial that goes on starts again, on more data."""
        return sum(map(mul, self.sizes, self.budgets))


class Scheduler(Protocol):
    """Decides over work, from the trials' losses and whether they have ended.

    `trials[i].number` is `i`. A trial that waits and one in a lane are treated alike. Each that may
    train has a job from its present epoch to its next comparison. The study leaves out the jobs
    that are under way.
    """

    @property
    def brackets(self) -> tuple[Bracket, ...]:
        """The brackets of the study, in the order of their trials; the last may be cut short."""
        ...

    def runnable(self, trials: Sequence[Trial], window: int) -> tuple[Job, ...]:
        """All work that may run now, in order of priority.

        Promotions (to the highest rung first), continuations, and starts of up to `window` trials
        that have not been proposed yet; ties by trial number.
        """
        ...

    def eliminated(self, trials: Sequence[Trial]) -> frozenset[int]:
        """Numbers of unfinished trials that can never run again: the study ends them as pruned."""
        ...


class Replacement(NamedTuple):
    """A trial that is to go on from the weights that one of the `best` has after `epoch`."""

    trial: int
    epoch: int
    best: tuple[int, ...]

    def is_done(self, trials: Sequence[Trial]) -> bool:
        """Whether the trial has gone on from there."""
        return trials[self.trial].exploited >= self.epoch


@runtime_checkable
class Evolving(Protocol):
    """A scheduler in which trials also go on from the weights of others."""

    def replacements(self, trials: Sequence[Trial]) -> tuple[Replacement, ...]:
        """The replacements of all comparisons under way, including those done (`is_done`).

        No job of a trial in such a comparison runs before all its replacements are done.
        """
        ...
