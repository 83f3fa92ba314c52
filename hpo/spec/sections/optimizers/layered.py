"""The specs of optimizers whose steps read the arrays of each layer as a whole."""

from __future__ import annotations

from typing import Literal

from hpo.spec.marks import Count, Knob, NonNegative, Positive, Share, Static
from hpo.spec.sections.optimizers.adaptive import Moments, Rule


class Lars(Rule):
    """Gradient descent whose step in each array is a share of its norm (You et al. 2017)."""

    name: Literal["lars"]
    learning_rate: Knob[Positive] = 1.0
    """The full learning rate."""
    momentum: Knob[Share] = 0.9
    """The share of the last step that goes into the next."""
    trust: Knob[Positive] = 1e-3
    """The share of the norm of an array that a step at a rate of 1 has."""


class NovoGrad(Moments):
    """Momentum of gradients divided by their norm in each array (Ginsburg et al. 2019)."""

    name: Literal["novograd"]
    learning_rate: Knob[Positive] = 1e-2
    """The full learning rate."""
    beta2: Knob[Share] = 0.25
    """The decay of the mean of squared norms."""
    epsilon: Knob[Positive] = 1e-6
    """Added to the denominator of each step."""
    weight_decay: Knob[NonNegative] = 0.0
    """The decay of the weights, added to the gradient after it is divided by its norm."""


class AdaFactor(Rule):
    """Squared gradients as the product of a row and a column of means (Shazeer and Stern 2018)."""

    name: Literal["adafactor"]
    learning_rate: Knob[Positive] = 1e-2
    """The full learning rate, in sizes of each array's weights."""
    decay: Knob[Positive] = 0.8
    """The power of the step by which the decay of means comes near 1."""
    clip: Knob[Positive] = 1.0
    """The largest root mean square of a step in an array, before the learning rate."""
    factored_from: Static[Count] = 128
    """Arrays with two axes of this length have a row and a column, smaller ones all numbers."""
    weight_decay: Knob[NonNegative] = 0.0
    """The share of the weights that each step takes away, times the learning rate."""


class Muon(Moments):
    """Momentum made orthogonal in the kernels of hidden layers; Adam elsewhere (Jordan 2024)."""

    name: Literal["muon"]
    learning_rate: Knob[Positive] = 1e-2
    """The full learning rate, of both rules."""
    momentum: Knob[Share] = 0.95
    """The decay of the mean of gradients of kernels, whose momentum is Nesterov's."""
    weight_decay: Knob[NonNegative] = 0.0
    """The share of the weights that each step takes away, times the learning rate."""
