"""Patience: a trial that makes no progress waits, and goes on only if it may be the winner."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hpo.search.jobs import in_priority, starts, unfinished
from hpo.trial import Job, Trial, TrialState


@dataclass(frozen=True)
class PlateauRule:
    """Halts trials whose loss has not improved by more than `min_delta` for `patience` epochs.

    Only a trial that has been trained in full can win, and one that has stopped to improve may be
    the best of all. So a halted trial waits. Once no other work is left, the best that waits is
    trained to the end, as long as its last loss is better than the winner's so far; the others are
    eliminated. Whether a trial halts depends on its own losses alone: whichever results arrive
    first, the study ends the same.

    Source: Prechelt 1998, "Early stopping - but when?" (Neural Networks: Tricks of the Trade),
    the criterion of successive epochs without progress; that the best one goes on is ours.
    """

    epochs: int
    total: int
    patience: int
    min_delta: float
    min_epochs: int

    def runnable(self, trials: Sequence[Trial], window: int) -> tuple[Job, ...]:
        """The work begun, each up to where it may halt, then starts; at the end a promotion."""
        moving: list[Job] = []
        halted: list[Trial] = []
        for trial in unfinished(trials):
            if trial.epochs < self.epochs:
                to_epoch = self._next_look(trial)
                if to_epoch is None:
                    halted.append(trial)
                else:
                    moving.append(Job(trial.number, trial.epochs, to_epoch))
        promoted: list[Job] = []
        if not moving and len(trials) >= self.total and halted:
            best = min(halted, key=lambda trial: (trial.losses[-1], trial.number))
            if best.losses[-1] < self._best_loss(trials):
                promoted.append(Job(best.number, best.epochs, self.epochs))
        first = min(self.epochs, max(self.min_epochs, 1 + self.patience))
        return (*in_priority(promoted, moving), *starts(len(trials), self.total, window, first))

    def eliminated(self, trials: Sequence[Trial]) -> frozenset[int]:
        """Halted trials that are no better than the winner so far, who keeps the constraints."""
        best = self._best_loss(trials)
        return frozenset(
            trial.number
            for trial in unfinished(trials)
            if 0 < trial.epochs < self.epochs
            and trial.losses[-1] >= best
            and self._next_look(trial) is None
        )

    def _best_loss(self, trials: Sequence[Trial]) -> float:
        complete = (t for t in trials if t.state is TrialState.COMPLETE and t.violation <= 0)
        return min((trial.losses[-1] for trial in complete), default=math.inf)

    def _next_look(self, trial: Trial) -> int | None:
        """The next epoch at which a trial may halt; None for one that has halted where it is."""
        best, progress = math.inf, 1
        for epoch, loss in enumerate(trial.losses, start=1):
            if loss < best - self.min_delta:
                best, progress = loss, epoch
            elif epoch - progress >= self.patience and epoch >= self.min_epochs:
                # Beyond the epoch where it halted, it has been sent to the end.
                return None if epoch == trial.epochs else self.epochs
        return min(self.epochs, max(progress + self.patience, self.min_epochs, trial.epochs + 1))
