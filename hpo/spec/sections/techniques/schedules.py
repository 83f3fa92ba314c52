"""The part `train.schedules`: numbers that change between epochs, by the paths of their leaves.

The host sets them, so they compile nothing. The schedule of a learning rate, which an optimizer
follows at every step, is another thing. Names and fields are those of `optimizer.schedule`, and a
factor may also be above 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import accumulate
from operator import mul
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, Field

from hpo.spec.marks import Count, Fixed, NonNegative, Positive, Spec
from hpo.spec.sections.goal import Finite
from hpo.spec.sections.optimizer import Shape

_Moment = Annotated[float, Field(gt=0, le=1)]


class NumberShape(Shape):
    """What schedules of numbers share: a warm-up of whole epochs before their own shape."""

    may_vary: ClassVar[bool] = False


class Steady(NumberShape):
    """The leaf's own value, after the warm-up."""

    name: Literal["constant"]

    def turns(self, own: float) -> list[float]:
        return [own]


class Towards(NumberShape):
    """From the leaf's own value in the first epoch to the value `to` in the last."""

    name: Literal["linear", "cosine"]
    """Whether it changes in a straight line or along half a cosine."""
    to: Finite
    """The value in the last epoch."""

    def turns(self, own: float) -> list[float]:
        return [own, self.to]


class PowerTowards(NumberShape):
    """To the value `to` in the last epoch, along a power of the share of training that is left."""

    name: Literal["polynomial"]
    to: Finite
    """The value in the last epoch."""
    power: Positive = 2.0
    """The power; 1 is `linear`."""

    def turns(self, own: float) -> list[float]:
        return [own, self.to]


class Decay(NumberShape):
    """A steady exponential change to the share `final` of the leaf's own value."""

    name: Literal["exponential"]
    final: Positive = 0.01
    """The share of the leaf's own value at the end of training."""

    def turns(self, own: float) -> list[float]:
        return [own, own * self.final]


class Steps(NumberShape):
    """`drops` evenly spaced changes, each by the factor `factor`, which may be above 1."""

    name: Literal["step"]
    drops: Count = 2
    """How many times the number changes."""
    factor: Positive = 0.1
    """What each change multiplies the number by."""

    def turns(self, own: float) -> list[float]:
        return [own, own * _power(self.factor, self.drops)]


class Pieces(NumberShape):
    """Up to three changes, each at its own share of the training and by its own factor."""

    name: Literal["piecewise"]
    first: _Moment = 0.5
    """The share of training after which the number changes; 1 is never."""
    second: _Moment = 0.75
    """The share after which it changes again."""
    third: _Moment = 1.0
    """The share after which it changes for the third time."""
    first_factor: Positive = 0.1
    """What the first change multiplies the number by."""
    second_factor: Positive = 0.1
    """What the second change multiplies it by."""
    third_factor: Positive = 0.1
    """What the third change multiplies it by."""

    def turns(self, own: float) -> list[float]:
        changes = sorted(
            (
                (self.first, self.first_factor),
                (self.second, self.second_factor),
                (self.third, self.third_factor),
            )
        )
        factors = (factor for share, factor in changes if share < 1)
        return list(accumulate(factors, mul, initial=own))


class Restarts(NumberShape):
    """`cycles` half cosines of equal length (SGDR; Loshchilov and Hutter 2017)."""

    name: Literal["cosine_restarts"]
    cycles: Count = 3
    """How many half cosines there are."""
    final: NonNegative = 0.0
    """The share of a cycle's first value at its end."""
    factor: Positive = 1.0
    """What each restart multiplies the first value of a cycle by."""

    def turns(self, own: float) -> list[float]:
        firsts = [own * _power(self.factor, cycle) for cycle in sorted({0, self.cycles - 1})]
        return [first * share for first in firsts for share in (1, self.final)]


class Cycle(NumberShape):
    """Half a cosine to the leaf's own value and half a cosine away (Smith and Topin 2018).

    With `start` and `final` above 1 it falls first, as their momentum does.
    """

    name: Literal["one_cycle"]
    rise: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """The share of the cycle until the leaf's own value."""
    start: NonNegative = 0.04
    """The share of the leaf's own value at the start."""
    final: NonNegative = 4e-6
    """The share of the leaf's own value at the end."""

    def turns(self, own: float) -> list[float]:
        return [own * self.start, own, own * self.final]


class Waves(NumberShape):
    """`cycles` waves from 0 to the leaf's own value and back, each twice as long as the one before.

    Source: Holzmueller et al. 2024, "Better by default" (arXiv:2407.04491), Equation 2.
    """

    name: Literal["coslog"]
    cycles: Count = 4
    """How many times the number rises and falls."""

    def turns(self, own: float) -> list[float]:
        return [0, own, 0]


class Plateau(Spec):
    """Reduces the number where the validation loss improves no more."""

    may_vary: ClassVar[bool] = False
    name: Literal["plateau"]
    patience: Count = 10
    """Reduce after this many epochs in a row without an improvement."""
    min_delta: NonNegative = 0.0
    """An improvement is more than this below the best loss before it."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """What each reduction multiplies the number by."""
    least: NonNegative = 0.0
    """The number is never reduced below this."""

    def turns(self, own: float) -> list[float]:
        return [own, own * self.factor]


NumberSchedule: TypeAlias = Annotated[
    Towards | PowerTowards | Decay | Steps | Pieces | Restarts | Cycle | Waves | Steady | Plateau,
    Field(discriminator="name"),
]


def turns(schedule: Any, own: float) -> Iterator[float]:
    """The values between which a schedule moves a number whose own value is `own`, in order."""
    values = schedule.turns(own)
    # A warm-up from 0 begins above it, but a whole number may be rounded to it.
    if getattr(schedule, "warmup", 0) and (schedule.warmup_start or isinstance(own, int)):
        yield values[0] * schedule.warmup_start
    yield from values


def _power(factor: float, exponent: int) -> float:
    try:
        return factor**exponent
    except OverflowError:
        return math.inf


def _fixed(schedules: Mapping[str, Any]) -> Fixed:
    return Fixed(schedules)


Schedules: TypeAlias = Annotated[Mapping[str, NumberSchedule], AfterValidator(_fixed)]
