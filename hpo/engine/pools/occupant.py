"""Who sits in a lane of a pool, and what an epoch of it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from hpo.engine.pools.streaming import Course
from hpo.engine.training.task import Epoch
from hpo.spec.experiment import Training
from hpo.trial import Run

# Knobs that are others after so many epochs, the earliest first.
Changes: TypeAlias = tuple[tuple[int, np.ndarray], ...]


@dataclass(frozen=True)
class Report:
    """What an epoch of a trial came to: metrics of the validation split and the training loss."""

    run: Run
    epoch: int
    metrics: dict[str, float]
    costs: Mapping[str, float] = field(default_factory=dict)  # measured after its last epoch


@dataclass
class Occupant:
    """A trial in a lane, and how far it has come."""

    run: Run
    knobs: np.ndarray
    training: Training
    epoch_shape: Epoch
    step: int
    to_step: int
    is_timed: bool
    changes: Changes

    def knobs_at(self, epoch: int) -> np.ndarray:
        """The knobs of the epoch after so many."""
        return next(
            (knobs for after, knobs in reversed(self.changes) if after <= epoch), self.knobs
        )

    @property
    def epoch(self) -> int:
        """Whole epochs trained."""
        return self.step // self.epoch_shape.steps

    @property
    def course(self) -> Course:
        """How far the trial has come and is to go."""
        seed, shape = self.training.train.seed, self.epoch_shape
        return Course(seed, self.step, self.to_step, shape.steps, shape.parts)
