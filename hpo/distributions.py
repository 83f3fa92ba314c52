"""Distributions: the values that one dimension of a search space may take."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from typing import TypeAlias

from hpo.trial import HParam


@dataclass(frozen=True)
class Float:
    """A real number from `low` to `high`, both included; uniform in its logarithm if `log`."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def size(self) -> float:
        """How many values there are."""
        if self.low == self.high:
            return 1
        return math.inf if self.step is None else _steps(self.low, self.high, self.step) + 1

    def at(self, position: float) -> float:
        """The value at a `position` in [0, 1) of the range's scale."""
        if self.step is not None:
            return min(_on_grid(self.low, self.step, math.floor(position * self.size)), self.high)
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return min(max(math.exp(low + position * (high - low)), self.low), self.high)
        return min(self.low + position * (self.high - self.low), self.high)


@dataclass(frozen=True)
class Int:
    """A whole number from `low` to `high`, both included; uniform in its logarithm if `log`."""

    low: int
    high: int
    log: bool = False
    step: int = 1

    @property
    def size(self) -> float:
        """How many values there are."""
        return (self.high - self.low) // self.step + 1

    def at(self, position: float) -> int:
        """The value at a `position` in [0, 1) of the range's scale."""
        if self.log:
            # Half a unit is added at each end, so that every whole number has its share of the
            # scale.
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            return min(max(round(math.exp(low + position * (high - low))), self.low), self.high)
        return self.low + math.floor(position * self.size) * self.step


@dataclass(frozen=True)
class Choice:
    """One of `values`, which may be lists or mappings; a constant is a choice of one."""

    values: tuple[HParam, ...]

    @property
    def size(self) -> float:
        """How many values there are."""
        return len(self.values)

    def at(self, position: float) -> HParam:
        """The value at a `position` in [0, 1) of the list."""
        return self.values[math.floor(position * len(self.values))]


Distribution: TypeAlias = Float | Int | Choice


def values_of(distribution: Distribution) -> Sequence[HParam]:
    """All values of a distribution that has finitely many."""
    if isinstance(distribution, Choice):
        return distribution.values
    if isinstance(distribution, Float):
        size = int(distribution.size)
        return [distribution.at((index + 0.5) / size) for index in range(size)]
    return range(distribution.low, distribution.high + 1, distribution.step)


def can_give(distribution: Distribution, value: HParam) -> bool:
    """Whether a value is one of a distribution's."""
    if isinstance(distribution, Choice):
        return any(same_value(value, choice) for choice in distribution.values)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if not distribution.low <= value <= distribution.high:
        return False
    if isinstance(distribution, Int):
        is_whole = isinstance(value, int)
        return is_whole and (
            distribution.log or (value - distribution.low) % distribution.step == 0
        )
    steps = (value - distribution.low) / (distribution.step or 1)
    return distribution.step is None or math.isclose(steps, round(steps), abs_tol=1e-9)


def with_bounds(distribution: Distribution, low: float, high: float) -> Distribution:
    """A range with other bounds; a range with steps keeps the values that both ranges have.

    Such bounds move inwards to a whole number of steps from the present low. A present bound stays
    if this neither loses nor adds a value. The range is empty if low is then above high.

    Raises:
        ValueError: for a choice, which has none.
    """
    match distribution:
        case Float(step=None):
            return replace(distribution, low=float(low), high=float(high))
        case Float(low=start, step=step):
            assert step is not None
            first, last = -_steps(low, start, step), _steps(start, high, step)
            return replace(
                distribution,
                low=start if first == 0 else _on_grid(start, step, first),
                high=distribution.high
                if last == _steps(start, distribution.high, step)
                else _on_grid(start, step, last),
            )
        case Int(low=start, step=step):
            first = -((start - math.ceil(low)) // step)
            last = (math.floor(high) - start) // step
            return replace(
                distribution,
                low=start + first * step,
                high=distribution.high
                if last == (distribution.high - start) // step
                else start + last * step,
            )
        case Choice():
            raise ValueError("a choice has no bounds")


def parts_of(distribution: Distribution, landmarks: Sequence[float]) -> tuple[Distribution, ...]:
    """A range cut at landmarks: the parts between two of them, and each landmark that is a value.

    A choice is one part.
    """
    if isinstance(distribution, Choice):
        return (distribution,)
    low, high = distribution.low, distribution.high
    inner = {x for x in landmarks if low <= x <= high}
    if isinstance(distribution, Int):
        points: list[float] = [int(x) for x in sorted(inner) if x == int(x)]
    else:
        points = [float(x) for x in sorted(inner)]
    between = [
        with_bounds(distribution, one, other)
        for one, other in pairwise(sorted({low, high, *inner}))
    ]
    return (
        *(Choice((x,)) for x in points if can_give(distribution, x)),
        *(part for part in between if isinstance(part, Float | Int) and part.low <= part.high),
    )


def as_given(distribution: Distribution, value: HParam) -> HParam:
    """A value of a distribution as the distribution itself gives it: 0 is 0.0 to a float."""
    if isinstance(distribution, Float) and isinstance(value, int | float):
        return float(value)
    if isinstance(distribution, Choice):
        return next(choice for choice in distribution.values if same_value(choice, value))
    return value


def same_value(one: HParam, other: HParam) -> bool:
    """Whether two hyperparameter values are the same, with their types (True is not 1)."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return one == other


def identity(value: HParam) -> Hashable:
    """A key that two values share where they are the same, as `same_value` has it."""
    return (bool, value) if isinstance(value, bool) else _frozen(value)


def _frozen(value: HParam) -> Hashable:
    if isinstance(value, Mapping):
        return Mapping, frozenset((key, _frozen(inner)) for key, inner in value.items())
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _on_grid(low: float, step: float, index: int) -> float:
    # In decimals, because 0.1 + 2 * 0.1 is not 0.3 in binary, and -0.3 + 3 * 0.1 is not 0.
    return float(Decimal(str(low)) + index * Decimal(str(step)))


def _steps(low: float, high: float, step: float) -> int:
    # A tolerance, because 0.3 / 0.1 is 2.9999999999999996.
    return math.floor((high - low) / step + 1e-9)
