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

from hpo import registry
from hpo.engine.task_program import AnyProgram
from hpo.engine.training.schedules import risen
from hpo.spec.marks import has_leaf, leaf_at
from hpo.spec.sections.techniques.schedules import Plateau, PowerTowards, Steps, Towards


def number_at(spec: Any, start: float, epoch: int, epochs: int, losses: Sequence[float]) -> float:
    """A number in the epoch that follows `epoch` whole epochs of `epochs`, from its value `start`.

    `losses` are the validation losses of those epochs. Whole numbers stay whole.
    """
    if isinstance(spec, Plateau):
        value = start * spec.factor ** reductions(losses, spec.patience, spec.min_delta)
        value = min(start, max(value, spec.least))
    else:
        value = _shaped(spec, start, epoch, epochs)
    return round(value) if isinstance(start, int) else value


def _shaped(spec: Any, start: float, epoch: int, epochs: int) -> float:
    """The number of a schedule that follows no loss."""
    warmup = round(spec.warmup * epochs)
    done, left = max(epoch - warmup, 0), max(epochs - warmup, 1)
    if isinstance(spec, Towards | PowerTowards):
        value = start + (spec.to - start) * _way(spec, done / max(left - 1, 1))
    elif isinstance(spec, Steps):
        value = start * spec.factor ** (done * (spec.drops + 1) // left)
    else:
        value = start * float(registry.function("schedule", spec.name)(spec, done / left))
    return value * float(risen(spec, (epoch + 1) / warmup)) if epoch < warmup else value


def _way(spec: Towards | PowerTowards, share: float) -> float:
    """The share of the way to the last value, after this share of the epochs."""
    if isinstance(spec, PowerTowards):
        return 1 - (1 - share) ** spec.power
    return 0.5 * (1 - math.cos(math.pi * share)) if spec.name == "cosine" else share


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
