"""Numbers of a lane that change between epochs: `train.schedules`.

The host sets them. Each is a pure function of the epoch and of the losses before it, so that a
training that goes on from a checkpoint has the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpo.engine.task_program import AnyProgram
from hpo.spec.marks import has_leaf, leaf_at
from hpo.spec.sections.techniques.schedules import Plateau, Steps


def number_at(spec: Any, start: float, epoch: int, epochs: int, losses: Sequence[float]) -> float:
    """A number in the epoch that follows `epoch` whole epochs of `epochs`, from its value `start`.

    `losses` are the validation losses of those epochs. Whole numbers stay whole.
    """
    if isinstance(spec, Plateau):
        value = start * spec.factor ** reductions(losses, spec.patience, spec.min_delta)
        value = min(start, max(value, spec.least))
    elif isinstance(spec, Steps):
        value = start * spec.factor ** (epoch * (spec.drops + 1) // epochs)
    else:
        share = epoch / max(epochs - 1, 1)
        if spec.name == "cosine":
            share = 0.5 * (1 - math.cos(math.pi * share))
        value = start + (spec.to - start) * share
    return round(value) if isinstance(start, int) else value


def reductions(losses: Sequence[float], patience: int, min_delta: float) -> int:
    """How often a loss had not improved for `patience` epochs in a row, each epoch counted once.

    Source: `ReduceLROnPlateau` of Keras, without its cooldown.
    """
    best, waited, found = math.inf, 0, 0
    for loss in losses:
        if loss < best - min_delta:
            best, waited = loss, 0
            continue
        waited += 1
        if waited == patience:
            found, waited = found + 1, 0
    return found


@dataclass(frozen=True)
class ScheduledNumbers:
    """The scheduled numbers of a training: their places among the knobs, schedules and starts."""

    numbers: tuple[tuple[int, Any, float], ...]
    epochs: int

    @classmethod
    def of(cls, training: Any, program: AnyProgram) -> ScheduledNumbers:
        """Those of a training; a leaf that its variant of a part lacks has no schedule."""
        paths = getattr(training.train, "schedules", {})
        numbers = tuple(
            (program.knobs.index(path), spec, leaf_at(training, path))
            for path, spec in paths.items()
            if has_leaf(training, path) and path in program.knobs
        )
        return cls(numbers, training.train.epochs)

    def at(self, knobs: np.ndarray, epoch: int, losses: Sequence[float]) -> np.ndarray:
        """The knobs for the epoch that follows `epoch` whole epochs with these losses."""
        if not self.numbers:
            return knobs
        changed = knobs.copy()
        for place, spec, start in self.numbers:
            changed[place] = number_at(spec, start, epoch, self.epochs, losses[:epoch])
        return changed
