"""The specs of optimizers that find their own learning rate, or need no schedule of it.

Where they find it, `learning_rate` is a factor of it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpo.spec.marks import Knob, NonNegative, Positive, Share
from hpo.spec.sections.optimizers.adaptive import Moments, Rule


class Prodigy(Moments):
    """AdamW that estimates how far the solution is (Mishchenko and Defazio 2024)."""

    name: Literal["prodigy"]
    learning_rate: Knob[Positive] = 1.0
    """A factor of the rate that it finds."""
    initial: Knob[Positive] = 1e-6
    """The first estimate of the rate, too small rather than too large."""
    weight_decay: Knob[NonNegative] = 0.0
    """The share of the weights that each step takes away, times the rate that it finds."""


class Dog(Rule):
    """Gradient descent by the distance over gradients (Ivgi et al. 2023)."""

    name: Literal["dog"]
    learning_rate: Knob[Positive] = 1.0
    """A factor of the rate that it finds."""
    initial: Knob[Positive] = 1e-6
    """The first distance, as a share of the norm of the first weights plus 1."""
    epsilon: Knob[Positive] = 1e-8
    """Added to the sum of squared gradients."""


class Mechanic(Moments):
    """Adam whose scale is learned (Cutkosky et al. 2023)."""

    name: Literal["mechanic"]
    learning_rate: Knob[Positive] = 1.0
    """A factor of the rate that it finds."""
    initial: Knob[Positive] = 1e-6
    """The first scale of Adam's steps."""
    weight_decay: Knob[NonNegative] = 1e-2
    """The decay that the scale is learned with, beside Adam."""


class Momo(Rule):
    """Gradient descent with momentum, each step cut by a model of the loss whose bound is 0
    (Schaipp et al. 2024).
    """

    name: Literal["momo"]
    learning_rate: Knob[Positive] = 1.0
    """The largest learning rate."""
    momentum: Knob[Share] = 0.9
    """The decay of the means of gradients and losses."""
    weight_decay: Knob[NonNegative] = 0.0
    """The share of the weights that each step takes away, times the largest rate."""


class ScheduleFree(Moments):
    """AdamW whose average is judged, so that no schedule is needed (Defazio et al. 2024)."""

    name: Literal["schedule_free"]
    learning_rate: Knob[Positive] = 2.5e-3
    """The full learning rate; a constant one, perhaps after a warm-up."""
    beta1: Knob[Annotated[float, Field(gt=0, lt=1)]] = 0.9
    """The share of the average in the weights at which gradients are taken."""
    weight_decay: Knob[NonNegative] = 0.0
    """The share of the weights that each step takes away, times the learning rate."""
