"""The specs of optimizers that find their own learning rate; `learning_rate` is a factor of it."""

from __future__ import annotations

from typing import Literal

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
