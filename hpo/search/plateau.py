"""Patience: a trial that makes too little progress is stopped, or waits where it may still win."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hpo.search.jobs import in_priority, starts, unfinished
from hpo.trial import Job, Trial, TrialState

# So many trials wait before the best of them goes on beside other work.
_ENOUGH = 5


@dataclass(frozen=True)
class PlateauRule:
    """Judges trials after every epoch by the progress of the last `patience` ones.

    A trial is eliminated that would not even come to the winner's loss so far if it went on to the
    end at that pace, which is more than a curve that flattens will do. It halts where its loss has
    not improved by more than `min_delta`.

    Only a trial that has been trained in full can win, and one that has stopped to improve may be
    the best of all. So a halted trial waits, as long as its last loss is better than the winner's
    so far; then it is eliminated. Where five wait, or no other work is left, the best of them is
    trained to the end, one at a time.

    Source: Prechelt 1998, "Early stopping - but when?" (Neural Networks: Tricks of the Trade), the
    criterion of successive epochs without progress; Domhan et al. 2015, "Speeding up automatic
    hyperparameter optimization of deep neural networks by extrapolation of learning curves", to
    stop what will not reach the best. The straight line and that the best one goes on are ours.
    """

    epochs: int
    total: int
    patience: int
    min_delta: float
    min_epochs: int

    def runnable(self, trials: Sequence[Trial], window: int) -> tuple[Job, ...]:
        """The trial that is sent to the end, the work begun an epoch at a time, then starts."""
        winner = self._winner_loss(trials)
        first = self._first_look
        moving: list[Job] = []
        sent: list[Job] = []
        halted: list[Trial] = []
        for trial in unfinished(trials):
            if trial.epochs == self.epochs or self._is_hopeless(trial, winner):
                continue
            halted_at = self._halted_at(trial)
            if halted_at == trial.epochs:
                halted.append(trial)
            elif halted_at is None:
                moving.append(Job(trial.number, trial.epochs, max(trial.epochs + 1, first)))
            else:
                # Beyond the epoch where it halted, it has been sent to the end.
                sent.append(Job(trial.number, trial.epochs, self.epochs))
        is_rest = not moving and len(trials) >= self.total
        if halted and not sent and (is_rest or len(halted) >= _ENOUGH):
            best = min(halted, key=lambda trial: (trial.violation, trial.losses[-1], trial.number))
            sent.append(Job(best.number, best.epochs, self.epochs))
        return (*in_priority(sent, moving), *starts(len(trials), self.total, window, first))

    def eliminated(self, trials: Sequence[Trial]) -> frozenset[int]:
        """Trials that will be no better than the winner so far, who keeps the constraints."""
        winner = self._winner_loss(trials)
        return frozenset(
            trial.number
            for trial in unfinished(trials)
            if trial.epochs < self.epochs and self._is_hopeless(trial, winner)
        )

    @property
    def _first_look(self) -> int:
        return min(self.epochs, max(self.min_epochs, 1 + self.patience))

    def _winner_loss(self, trials: Sequence[Trial]) -> float:
        complete = (t for t in trials if t.state is TrialState.COMPLETE and t.violation <= 0)
        return min((trial.losses[-1] for trial in complete), default=math.inf)

    def _is_hopeless(self, trial: Trial, winner: float) -> bool:
        """Whether a trial that may be judged will not come below the winner's loss."""
        if trial.epochs < self._first_look:
            return False
        if self._halted_at(trial) == trial.epochs:
            return trial.losses[-1] >= winner
        best = min(trial.losses)
        pace = (min(trial.losses[: -self.patience]) - best) / self.patience
        return best - pace * (self.epochs - trial.epochs) >= winner

    def _halted_at(self, trial: Trial) -> int | None:
        """The epoch at which a trial first stopped to improve, None if it did not."""
        best, progress = math.inf, 1
        for epoch, loss in enumerate(trial.losses, start=1):
            if loss < best - self.min_delta:
                best, progress = loss, epoch
            elif epoch - progress >= self.patience and epoch >= self.min_epochs:
                return epoch
        return None
