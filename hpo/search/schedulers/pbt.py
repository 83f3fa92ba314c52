"""The scheduler `pbt`: bad members go on from the weights of good ones, with new knobs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TypeVar

from hpo.search.scheduler import Bracket, Replacement
from hpo.search.schedulers.jobs import in_priority, starts
from hpo.spec.sections.scheduler import Pbt
from hpo.trial import Job, Trial, Trials, TrialState

T = TypeVar("T")


def make_pbt(spec: Pbt, epochs: int, trials: int) -> Populations:
    """The scheduler `pbt` of a study."""
    return Populations(spec, epochs, trials)


def truncation(ranked: Sequence[T], quantile: float) -> tuple[Sequence[T], Sequence[T]]:
    """The best and the worst share of a ranked population: the worst copy the best.

    Source: Jaderberg et al. 2017, "Population based training of neural networks"
    (arXiv:1711.09846), section 4.1.1, truncation selection.
    """
    share = cut(len(ranked), quantile)
    return ranked[:share], ranked[len(ranked) - share :]


def cut(members: int, quantile: float) -> int:
    """The size of the worst share of a population, and of the best: at least one of two.

    Whole numbers: the margin is for a share such as 0.29 of 100, which is 28.999999999999996.
    """
    return max(math.floor(members * quantile + 1e-9), 1 if members > 1 else 0)


@dataclass(frozen=True)
class Populations:
    """Populations of trials, in turn, that all train in full and are compared every few epochs.

    Members wait for each other at a comparison. Then each of the worst share goes on from the
    weights and hparams of a member drawn from the best share, with perturbed knobs (truncation
    selection). A diverged member ranks last and is replaced at the next comparison, if there is
    one. An infeasible member has no weights and takes no part. Trials that are added to a study
    later join once they have caught up.

    The paper's members do not wait. Ours do, so that the study ends the same whichever results
    arrive first. Members that are behind, and the next population, keep the lanes busy.

    Source: Jaderberg et al. 2017, "Population based training of neural networks"
    (arXiv:1711.09846), Algorithm 1 and section 4.1.1.
    """

    spec: Pbt
    epochs: int
    total: int

    @cached_property
    def brackets(self) -> tuple[Bracket, ...]:
        """A bracket for each population, of one rung: all trials train in full."""
        size = self.spec.population
        return tuple(
            Bracket(first, (min(size, self.total - first),), (self.epochs,))
            for first in range(0, self.total, size)
        )

    def runnable(self, trials: Sequence[Trial], window: int) -> tuple[Job, ...]:
        """The work begun, each to its next comparison, then starts."""
        begun: list[Job] = []
        for members, alive in self._open_populations(trials):
            if not all(one.is_done(trials) for one in self._compared(members, alive, trials)):
                continue
            is_whole = len(trials) >= members.stop
            behind = min(trial.epochs for trial in alive) if is_whole else 0
            begun += (
                Job(trial.number, self._next(trial.epochs))
                for trial in alive
                if trial.epochs == behind or not self._is_comparison(trial.epochs)
            )
        return (*in_priority((), begun), *starts(len(trials), self.total, window, self._next(0)))

    def eliminated(self, trials: Sequence[Trial]) -> frozenset[int]:
        """None, ever."""
        return frozenset()

    def replacements(self, trials: Sequence[Trial]) -> tuple[Replacement, ...]:
        """The members that go on from others, the worst last."""
        return tuple(
            replacement
            for members, alive in self._open_populations(trials)
            for replacement in self._compared(members, alive, trials)
        )

    def _compared(
        self, members: range, alive: Sequence[Trial], trials: Sequence[Trial]
    ) -> list[Replacement]:
        epoch = min(trial.epochs for trial in alive)
        if len(trials) < members.stop or not self._is_comparison(epoch):
            return []
        # All are ranked as they were after that epoch, including those replaced or trained further
        # since, so that a second look finds the same.
        ranked = sorted(
            (math.inf if self._is_lost(trials[n], epoch) else trials[n].losses[epoch - 1], n)
            for n in members
            if trials[n].state is not TrialState.INFEASIBLE
        )
        here = {trial.number for trial in alive if trial.epochs == epoch}
        first, last = truncation(ranked, self.spec.quantile)
        best = tuple(number for loss, number in first if loss < math.inf and number in here)
        # All that diverged are replaced, however many.
        replaced = {number for _, number in last} | {n for loss, n in ranked if loss == math.inf}
        return [
            Replacement(number, epoch, best)
            for _, number in ranked
            if best
            and number in replaced
            and (number in here or self._is_lost(trials[number], epoch))
        ]

    def _is_lost(self, trial: Trial, epoch: int) -> bool:
        return trial.state is TrialState.DIVERGED and trial.epochs < epoch

    def _is_comparison(self, epoch: int) -> bool:
        return 0 < epoch < self.epochs and epoch % self.spec.interval == 0

    def _next(self, epoch: int) -> int:
        return min((epoch // self.spec.interval + 1) * self.spec.interval, self.epochs)

    def _open_populations(self, trials: Sequence[Trial]) -> Iterator[tuple[range, list[Trial]]]:
        """Populations with unfinished members: all their numbers, and those members."""
        size = self.spec.population
        for index, alive in groupby(
            Trials.of(trials).unfinished, lambda trial: trial.number // size
        ):
            yield range(index * size, min((index + 1) * size, self.total)), list(alive)
