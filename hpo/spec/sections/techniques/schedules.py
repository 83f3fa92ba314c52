"""The part `train.schedules`: numbers that change between epochs, by the paths of their leaves.

The host sets them, so they compile nothing. The schedule of a learning rate, which an optimizer
follows at every step, is another thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, Field

from hpo.spec.marks import Count, Fixed, NonNegative, Positive, Spec
from hpo.spec.sections.goal import Finite


class Towards(Spec):
    """From the leaf's own value in the first epoch to the value `to` in the last."""

    may_vary: ClassVar[bool] = False
    name: Literal["linear", "cosine"]
    """Whether it changes in a straight line or along half a cosine."""
    to: Finite
    """The value in the last epoch."""


class Steps(Spec):
    """`drops` evenly spaced changes, each by the factor `factor`, which may be above 1."""

    may_vary: ClassVar[bool] = False
    name: Literal["step"]
    drops: Count = 2
    """How many times the number changes."""
    factor: Positive = 0.1
    """What each change multiplies the number by."""


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


NumberSchedule: TypeAlias = Annotated[Towards | Steps | Plateau, Field(discriminator="name")]


def _fixed(schedules: Mapping[str, Any]) -> Fixed:
    return Fixed(schedules)


Schedules: TypeAlias = Annotated[Mapping[str, NumberSchedule], AfterValidator(_fixed)]
