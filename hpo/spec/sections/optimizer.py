"""The spec of every optimizer and learning-rate schedule.

A schedule spans `train.epochs`, never a rung: it maps the share of training done to a factor of
the learning rate. Weight decay is decoupled for `adamw` (Loshchilov and Hutter 2019) and added to
the gradient (an L2 penalty) for the others.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hpo.spec.marks import Count, Host, Knob, Merge, NonNegative, Positive, Share, Spec, Static
from hpo.spec.registered import Registered


class Shape(Spec):
    """What schedules share: the warm-up before their own shape."""

    name: str
    warmup: Knob[Share] = 0.0
    """The share of training over which it rises to its full value."""
    warmup_shape: Static[Literal["linear", "quadratic", "cosine", "exponential"]] = "linear"
    """How it rises: in a straight line, as a square, as half a cosine, or by equal factors."""
    warmup_start: Knob[Share] = 0.0
    """The share of the full value that the warm-up rises from; above 0 where it is exponential."""

    @model_validator(mode="after")
    def _can_rise(self) -> Self:
        if self.warmup_shape == "exponential" and self.warmup_start == 0:
            raise ValueError(
                "an exponential warm-up never rises from warmup_start 0: write more, such as 0.01"
            )
        return self


class Constant(Shape):
    """The full learning rate."""

    name: Literal["constant"]


class Cosine(Shape):
    """Half a cosine from the full rate to its share `final` (Loshchilov and Hutter 2017)."""

    name: Literal["cosine"]
    final: Knob[Share] = 0.0
    """The share of the full rate at the end."""


class Exponential(Shape):
    """A steady exponential decay to the share `final` of the full rate."""

    name: Literal["exponential"]
    final: Knob[Annotated[float, Field(gt=0, le=1)]] = 0.01
    """The share of the full rate at the end."""


class Step(Shape):
    """`drops` evenly spaced drops, each to the share `factor` of the rate before it."""

    name: Literal["step"]
    drops: Knob[Count] = 2
    """How many times the rate drops."""
    factor: Knob[Annotated[float, Field(gt=0, le=1)]] = 0.1
    """What each drop multiplies the rate by."""


class CosLog(Shape):
    """`cycles` waves from 0 to the full rate and back, each twice as long as the one before.

    Source: Holzmueller et al. 2024, "Better by default" (arXiv:2407.04491), Equation 2.
    """

    name: Literal["coslog"]
    cycles: Knob[Count] = 4
    """How many times the rate rises and falls."""


class Linear(Shape):
    """A straight line from the full rate to its share `final`."""

    name: Literal["linear"]
    final: Knob[Share] = 0.0
    """The share of the full rate at the end."""


class Polynomial(Shape):
    """A power of the share of training that is left, from the full rate to its share `final`."""

    name: Literal["polynomial"]
    final: Knob[Share] = 0.0
    """The share of the full rate at the end."""
    power: Knob[Positive] = 2.0
    """The power; 1 is `linear`."""


class CosineRestarts(Shape):
    """`cycles` half cosines of equal length (SGDR; Loshchilov and Hutter 2017)."""

    name: Literal["cosine_restarts"]
    cycles: Knob[Count] = 3
    """How many half cosines there are."""
    final: Knob[Share] = 0.0
    """The share of a cycle's first rate at its end."""
    factor: Knob[Annotated[float, Field(gt=0, le=1)]] = 1.0
    """What each restart multiplies the first rate of a cycle by."""


class OneCycle(Shape):
    """Half a cosine up to the full rate and half a cosine down (Smith and Topin 2018)."""

    name: Literal["one_cycle"]
    rise: Knob[Annotated[float, Field(gt=0, lt=1)]] = 0.3
    """The share of the cycle in which the rate rises."""
    start: Knob[Share] = 0.04
    """The share of the full rate at the start."""
    final: Knob[Share] = 4e-6
    """The share of the full rate at the end."""


class Piecewise(Shape):
    """Up to three drops, each at its own share of the training and by its own factor."""

    name: Literal["piecewise"]
    first: Knob[Annotated[float, Field(gt=0, le=1)]] = 0.5
    """The share of training after which the rate drops; 1 is never."""
    second: Knob[Annotated[float, Field(gt=0, le=1)]] = 0.75
    """The share after which it drops again."""
    third: Knob[Annotated[float, Field(gt=0, le=1)]] = 1.0
    """The share after which it drops for the third time."""
    first_factor: Knob[Annotated[float, Field(gt=0, le=1)]] = 0.1
    """What the first drop multiplies the rate by."""
    second_factor: Knob[Annotated[float, Field(gt=0, le=1)]] = 0.1
    """What the second drop multiplies it by."""
    third_factor: Knob[Annotated[float, Field(gt=0, le=1)]] = 0.1
    """What the third drop multiplies it by."""


ScheduleSpec = Annotated[Any, Registered("schedule"), Merge.BRANCH]


class Sgd(Spec):
    """Stochastic gradient descent with (Nesterov) momentum."""

    name: Literal["sgd"]
    learning_rate: Knob[Positive] = 0.1
    """The full learning rate."""
    momentum: Knob[Share] = 0.9
    """The share of the last step that goes into the next."""
    nesterov: Static[bool] = False
    """Whether the momentum is Nesterov's."""
    weight_decay: Knob[NonNegative] = 0.0
    """The L2 penalty, added to the gradient."""
    clip_norm: Knob[Positive | None] = None
    """As `updates.clip_norm`, which every optimizer has and new specs use; null does not clip."""
    schedule: ScheduleSpec = Constant(name="constant")
    """How the learning rate changes while it trains."""


class Adam(Spec):
    """Adam (Kingma and Ba 2015)."""

    name: Literal["adam"]
    learning_rate: Knob[Positive] = 1e-3
    """The full learning rate."""
    beta1: Knob[Share] = 0.9
    """The decay of the mean of gradients."""
    beta2: Knob[Share] = 0.999
    """The decay of the mean of squared gradients."""
    epsilon: Knob[Positive] = 1e-8
    """Added to the denominator of each step."""
    weight_decay: Knob[NonNegative] = 0.0
    """The L2 penalty, added to the gradient."""
    clip_norm: Knob[Positive | None] = None
    """As `updates.clip_norm`, which every optimizer has and new specs use; null does not clip."""
    schedule: ScheduleSpec = Constant(name="constant")
    """How the learning rate changes while it trains."""


class AdamW(Spec):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    name: Literal["adamw"]
    learning_rate: Knob[Positive] = 1e-3
    """The full learning rate."""
    beta1: Knob[Share] = 0.9
    """The decay of the mean of gradients."""
    beta2: Knob[Share] = 0.999
    """The decay of the mean of squared gradients."""
    epsilon: Knob[Positive] = 1e-8
    """Added to the denominator of each step."""
    weight_decay: Knob[NonNegative] = 1e-4
    """The share of the weights that each step takes away, times the learning rate."""
    clip_norm: Knob[Positive | None] = None
    """As `updates.clip_norm`, which every optimizer has and new specs use; null does not clip."""
    schedule: ScheduleSpec = Constant(name="constant")
    """How the learning rate changes while it trains."""


class RmsProp(Spec):
    """RMSProp (Tieleman and Hinton 2012), with momentum."""

    name: Literal["rmsprop"]
    learning_rate: Knob[Positive] = 1e-3
    """The full learning rate."""
    decay: Knob[Share] = 0.9
    """The decay of the mean of squared gradients."""
    momentum: Knob[Share] = 0.0
    """The share of the last step that goes into the next."""
    epsilon: Knob[Positive] = 1e-8
    """Added to the denominator of each step."""
    weight_decay: Knob[NonNegative] = 0.0
    """The L2 penalty, added to the gradient."""
    clip_norm: Knob[Positive | None] = None
    """As `updates.clip_norm`, which every optimizer has and new specs use; null does not clip."""
    schedule: ScheduleSpec = Constant(name="constant")
    """How the learning rate changes while it trains."""


class Adagrad(Spec):
    """AdaGrad (Duchi et al. 2011), whose sum of squared gradients starts above zero."""

    name: Literal["adagrad"]
    learning_rate: Knob[Positive] = 1e-2
    """The full learning rate."""
    initial_accumulator: Host[NonNegative] = 0.1
    """What the sum of squared gradients of each weight starts from."""
    epsilon: Knob[Positive] = 1e-7
    """Added to the denominator of each step."""
    weight_decay: Knob[NonNegative] = 0.0
    """The L2 penalty, added to the gradient."""
    clip_norm: Knob[Positive | None] = None
    """As `updates.clip_norm`, which every optimizer has and new specs use; null does not clip."""
    schedule: ScheduleSpec = Constant(name="constant")
    """How the learning rate changes while it trains."""


class Lamb(Spec):
    """LAMB (You et al. 2020): AdamW whose step in each array of weights is as long as the array."""

    name: Literal["lamb"]
    learning_rate: Knob[Positive] = 1e-2
    """The full learning rate."""
    beta1: Knob[Share] = 0.9
    """The decay of the mean of gradients."""
    beta2: Knob[Share] = 0.999
    """The decay of the mean of squared gradients."""
    epsilon: Knob[Positive] = 1e-6
    """Added to the denominator of each step."""
    weight_decay: Knob[NonNegative] = 0.0
    """The decay of the weights, added to the step before it is scaled."""
    clip_norm: Knob[Positive | None] = None
    """As `updates.clip_norm`, which every optimizer has and new specs use; null does not clip."""
    schedule: ScheduleSpec = Constant(name="constant")
    """How the learning rate changes while it trains."""


OptimizerSpec = Annotated[Any, Registered("optimizer"), Merge.BRANCH]
