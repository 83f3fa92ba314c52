"""The trial in a lane of a pool, and the report of one of its epochs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from hpo.engine.pools.streaming import Course
from hpo.engine.training.task import Epoch, Progress
from hpo.engine.training.techniques.schedules import ScheduledNumbers
from hpo.spec.code.frames import CodeError
from hpo.spec.experiment import Training
from hpo.trial import Run

# Changes of knobs: the epoch after which each applies, and the new knobs; earliest first.
Changes: TypeAlias = tuple[tuple[int, np.ndarray], ...]


@dataclass(frozen=True)
class EpochReport:
    """The results of an epoch of a trial: metrics of the validation split and the training loss.

    `trouble` is the error of a metric of the user's own, which is then NaN.
    """

    run: Run
    epoch: int
    metrics: dict[str, float]
    costs: Mapping[str, float] = field(default_factory=dict)  # measured after its last epoch
    trouble: CodeError | None = None


@dataclass
class Occupant:
    """A trial in a lane, and its progress."""

    run: Run
    knobs: np.ndarray
    training: Training
    epoch_shape: Epoch
    progress: Progress
    to_epoch: int
    is_timed: bool
    changes: Changes
    schedules: ScheduledNumbers
    losses: list[float]  # on the validation split, after each whole epoch

    def knobs_at(self, epoch: int) -> np.ndarray:
        """The knobs for the epoch that follows `epoch` whole epochs."""
        knobs = next(
            (knobs for after, knobs in reversed(self.changes) if after <= epoch), self.knobs
        )
        return self.schedules.at(knobs, epoch, self.losses)

    @property
    def epoch(self) -> int:
        """Whole epochs trained."""
        return self.progress.epoch

    @property
    def timed_epoch(self) -> int:
        """The epoch after which its latency is measured: the first where any may be its last."""
        train = self.training.train
        return 1 if getattr(train, "early_stop", None) else train.epochs

    @property
    def has_work(self) -> bool:
        """Whether it has steps to train."""
        return self.epoch < self.to_epoch

    def advance(self, steps: int) -> None:
        """Note that `steps` more steps of its epoch are trained."""
        epoch, step = self.progress
        is_whole = step + steps == self.epoch_shape.steps
        self.progress = Progress(epoch + 1, 0) if is_whole else Progress(epoch, step + steps)

    @property
    def course(self) -> Course:
        """The trial's progress and its target, as streaming needs them."""
        seed, shape = self.training.train.seed, self.epoch_shape
        return Course(seed, self.progress, self.to_epoch, shape.steps, shape.parts)
