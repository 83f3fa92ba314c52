"""The specs of optimizers that scale the step of each weight by its own gradients, beside Adam."""

from __future__ import annotations

from typing import Literal

from hpo.spec.marks import Knob, NonNegative, Positive, Share, Spec
from hpo.spec.sections.optimizer import Constant, ScheduleSpec


class Rule(Spec):
    """What these optimizers share."""

    name: str
    learning_rate: Knob[Positive] = 1e-3
    """The full learning rate."""
    weight_decay: Knob[NonNegative] = 0.0
    """The L2 penalty, added to the gradient."""
    clip_norm: Knob[Positive | None] = None
    """As `updates.clip_norm`, which every optimizer has and new specs use; null does not clip."""
    schedule: ScheduleSpec = Constant(name="constant")
    """How the learning rate changes while it trains."""


class Moments(Rule):
    """Means of gradients and of their squares, as Adam has them."""

    beta1: Knob[Share] = 0.9
    """The decay of the mean of gradients."""
    beta2: Knob[Share] = 0.999
    """The decay of the mean of squared gradients."""
    epsilon: Knob[Positive] = 1e-8
    """Added to the denominator of each step."""


class Adadelta(Rule):
    """AdaDelta (Zeiler 2012): steps in the unit of the weights."""

    name: Literal["adadelta"]
    learning_rate: Knob[Positive] = 1.0
    """The full learning rate."""
    decay: Knob[Share] = 0.9
    """The decay of the means of squared gradients and of squared steps."""
    epsilon: Knob[Positive] = 1e-6
    """Added to both means."""


class Adamax(Moments):
    """Adam with the largest gradient instead of the mean square (Kingma and Ba 2015)."""

    name: Literal["adamax"]


class Nadam(Moments):
    """Adam with Nesterov's momentum (Dozat 2016)."""

    name: Literal["nadam"]


class Radam(Moments):
    """Adam that waits for enough squared gradients before it scales by them (Liu et al. 2020)."""

    name: Literal["radam"]
    threshold: Knob[Positive] = 5.0
    """The length of the mean from which on the squared gradients scale steps."""


class Amsgrad(Moments):
    """Adam whose mean of squared gradients never falls (Reddi et al. 2018)."""

    name: Literal["amsgrad"]


class AdaBelief(Moments):
    """Adam that scales by how far gradients are from their mean (Zhuang et al. 2020)."""

    name: Literal["adabelief"]
    epsilon: Knob[Positive] = 1e-16
    """Added to the denominator of each step."""


class Yogi(Moments):
    """Adam whose mean of squared gradients changes slowly (Zaheer et al. 2018); it starts at 0."""

    name: Literal["yogi"]
    learning_rate: Knob[Positive] = 1e-2
    """The full learning rate."""
    epsilon: Knob[Positive] = 1e-3
    """Added to the denominator of each step."""


class Lion(Rule):
    """The sign of a mean of gradients (Chen et al. 2023), with decoupled weight decay."""

    name: Literal["lion"]
    learning_rate: Knob[Positive] = 1e-4
    """The full learning rate; about a tenth of Adam's."""
    beta1: Knob[Share] = 0.9
    """The share of the mean in the step."""
    beta2: Knob[Share] = 0.99
    """The decay of the mean of gradients."""
    weight_decay: Knob[NonNegative] = 1e-3
    """The share of the weights that each step takes away, times the learning rate."""


class Adan(Rule):
    """Adam with Nesterov's momentum from differences of gradients (Xie et al. 2022)."""

    name: Literal["adan"]
    beta1: Knob[Share] = 0.98
    """The decay of the mean of gradients."""
    beta2: Knob[Share] = 0.92
    """The decay of the mean of their differences."""
    beta3: Knob[Share] = 0.99
    """The decay of the mean of squares."""
    epsilon: Knob[Positive] = 1e-8
    """Added to the denominator of each step."""
    weight_decay: Knob[NonNegative] = 0.0
    """The share of the weights that each step takes away, times the learning rate."""


class AdEmaMix(Moments):
    """AdamW with a second, slower mean of gradients (Pagliardini et al. 2024)."""

    name: Literal["ademamix"]
    beta3: Knob[Share] = 0.9999
    """The decay of the slow mean."""
    alpha: Knob[NonNegative] = 5.0
    """The weight of the slow mean."""
    weight_decay: Knob[NonNegative] = 0.0
    """The share of the weights that each step takes away, times the learning rate."""
