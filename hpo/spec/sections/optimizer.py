"""The spec of every optimizer and learning-rate schedule.

A schedule spans `train.epochs`, never a rung: it maps the share of training done to a factor of
the learning rate. Weight decay is decoupled for `adamw` (Loshchilov and Hutter 2019) and added to
the gradient (an L2 penalty) for the others.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpo.spec.marks import Count, Knob, NonNegative, Positive, Share, Spec, Static


class Constant(Spec):
    """The full learning rate after a linear warm-up over the share `warmup` of the steps."""

    name: Literal["constant"]
    warmup: Knob[Share] = 0.0


class Cosine(Spec):
    """Half a cosine from the full rate to its share `final` (Loshchilov and Hutter 2017)."""

    name: Literal["cosine"]
    warmup: Knob[Share] = 0.0
    final: Knob[Share] = 0.0


class Exponential(Spec):
    """A steady exponential decay to the share `final` of the full rate."""

    name: Literal["exponential"]
    warmup: Knob[Share] = 0.0
    final: Knob[Annotated[float, Field(gt=0, le=1)]] = 0.01


class Step(Spec):
    """`drops` evenly spaced drops, each to the share `factor` of the rate before it."""

    name: Literal["step"]
    warmup: Knob[Share] = 0.0
    drops: Knob[Count] = 2
    factor: Knob[Annotated[float, Field(gt=0, le=1)]] = 0.1


ScheduleSpec = Annotated[Constant | Cosine | Exponential | Step, Field(discriminator="name")]


class Sgd(Spec):
    """Stochastic gradient descent with (Nesterov) momentum."""

    name: Literal["sgd"]
    learning_rate: Knob[Positive] = 0.1
    momentum: Knob[Share] = 0.9
    nesterov: Static[bool] = False
    weight_decay: Knob[NonNegative] = 0.0
    clip_norm: Knob[Positive | None] = None
    schedule: ScheduleSpec = Constant(name="constant")


class Adam(Spec):
    """Adam (Kingma and Ba 2015)."""

    name: Literal["adam"]
    learning_rate: Knob[Positive] = 1e-3
    beta1: Knob[Share] = 0.9
    beta2: Knob[Share] = 0.999
    epsilon: Knob[Positive] = 1e-8
    weight_decay: Knob[NonNegative] = 0.0
    clip_norm: Knob[Positive | None] = None
    schedule: ScheduleSpec = Constant(name="constant")


class AdamW(Spec):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    name: Literal["adamw"]
    learning_rate: Knob[Positive] = 1e-3
    beta1: Knob[Share] = 0.9
    beta2: Knob[Share] = 0.999
    epsilon: Knob[Positive] = 1e-8
    weight_decay: Knob[NonNegative] = 1e-4
    clip_norm: Knob[Positive | None] = None
    schedule: ScheduleSpec = Constant(name="constant")


class RmsProp(Spec):
    """RMSProp (Tieleman and Hinton 2012), with momentum."""

    name: Literal["rmsprop"]
    learning_rate: Knob[Positive] = 1e-3
    decay: Knob[Share] = 0.9
    momentum: Knob[Share] = 0.0
    epsilon: Knob[Positive] = 1e-8
    weight_decay: Knob[NonNegative] = 0.0
    clip_norm: Knob[Positive | None] = None
    schedule: ScheduleSpec = Constant(name="constant")


OptimizerSpec = Annotated[Sgd | Adam | AdamW | RmsProp, Field(discriminator="name")]
