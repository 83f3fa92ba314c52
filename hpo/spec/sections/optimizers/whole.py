"""The specs of optimizers that take all training rows in one step: `data.batch_size: all`."""

from __future__ import annotations

from typing import Literal

from hpo.spec.marks import Count, Knob, NonNegative, Positive, Spec, Static
from hpo.spec.sections.optimizer import Constant, ScheduleSpec


class Whole(Spec):
    """What these optimizers share."""

    name: str
    learning_rate: Knob[Positive] = 1.0
    """A factor of the step that the optimizer finds."""
    weight_decay: Knob[NonNegative] = 0.0
    """The L2 penalty, half of whose sum of squares is added to the loss."""
    schedule: ScheduleSpec = Constant(name="constant")
    """How the learning rate changes while it trains."""


class LBfgs(Whole):
    """L-BFGS with a line search (Nocedal and Wright 2006, Algorithms 7.5 and 3.5)."""

    name: Literal["lbfgs"]
    memory: Static[Count] = 10
    """How many steps the curvature is estimated from; each takes two vectors of weights."""
    search_steps: Static[Count] = 20
    """The most gradients that the line search of a step takes."""


class Exact(Whole):
    """The least squares of a linear regression, in one step."""

    name: Literal["exact"]
