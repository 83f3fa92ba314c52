"""The search space: a distribution for each leaf of the spec that may vary.

Plain values without YAML, JAX or Optuna. A space is ordered so that a dimension comes after the
one its condition looks at; a dimension is *active* in a trial when its condition holds there (and,
along a chain, that of the dimension it looks at).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from hpo.trial import HParam, HParams

if TYPE_CHECKING:
    # Only a type here, and half of what `hpo check` would wait for.
    import numpy as np


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
            index = math.floor(position * self.size)
            # Rounding hides the noise of 0.1 + 2 * 0.1, which users would see in their exports.
            return min(float(f"{self.low + index * self.step:.12g}"), self.high)
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
            # Half a unit either side, so that every whole number has its share of the scale.
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


@dataclass(frozen=True)
class Condition:
    """Holds in a trial whose leaf at `path` has one of `values`."""

    path: str
    values: tuple[HParam, ...]


@dataclass(frozen=True)
class Dimension:
    """A leaf that varies: its dotted `path`, its distribution and when it is active."""

    path: str
    distribution: Distribution
    when: Condition | None = None


@dataclass(frozen=True)
class SearchSpace:
    """The dimensions, parents before the dimensions that depend on them."""

    dimensions: tuple[Dimension, ...] = ()

    def __len__(self) -> int:
        return len(self.dimensions)

    @cached_property
    def by_path(self) -> Mapping[str, Dimension]:
        """Each dimension under its path."""
        return {dimension.path: dimension for dimension in self.dimensions}

    @cached_property
    def varying(self) -> frozenset[str]:
        """The paths that may vary: of each dimension, and of what its choices of parts mention."""
        paths = set(self.by_path)
        for path, dimension in self.by_path.items():
            if isinstance(dimension.distribution, Choice):
                for value in dimension.distribution.values:
                    paths |= set(_paths_below(path, value))
        return frozenset(paths)

    def is_active(self, dimension: Dimension, hparams: HParams) -> bool:
        """Whether a dimension is active beside `hparams`, which hold those before it."""
        when = dimension.when
        # Comparing types too, because True == 1 and 1 == 1.0 in Python but not in a spec.
        return when is None or (
            when.path in hparams
            and any(same_value(hparams[when.path], value) for value in when.values)
        )

    def draw(self, rng: np.random.Generator) -> dict[str, HParam]:
        """One independent draw of every active dimension.

        Inactive dimensions use up their random number too, so that the values of a trial's other
        dimensions do not depend on them.
        """
        return self.place(rng.random(len(self)).tolist())

    def place(self, positions: Sequence[float]) -> dict[str, HParam]:
        """The active dimensions at their `positions` in [0, 1); each dimension has one."""
        hparams: dict[str, HParam] = {}
        for dimension, position in zip(self.dimensions, positions, strict=True):
            if self.is_active(dimension, hparams):
                hparams[dimension.path] = dimension.distribution.at(position)
        return hparams

    @cached_property
    def size(self) -> float:
        """How many different trials there are; infinite where a dimension is continuous."""
        children: dict[str, list[Dimension]] = {}
        for dimension in self.dimensions:
            if dimension.when is not None:
                children.setdefault(dimension.when.path, []).append(dimension)

        def size_below(dimension: Dimension) -> float:
            dependents = children.get(dimension.path, [])
            values = _told_apart(dimension.distribution, dependents)
            return (dimension.distribution.size - len(values)) + sum(
                math.prod(
                    size_below(child)
                    for child in dependents
                    if self.is_active(child, {dimension.path: value})
                )
                for value in values
            )

        return math.prod(size_below(d) for d in self.dimensions if d.when is None)


def _paths_below(path: str, value: HParam) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield f"{path}.{name}"
            yield from _paths_below(f"{path}.{name}", inner)


def same_value(one: HParam, other: HParam) -> bool:
    """Whether two hyperparameter values are the same, type included (True is not 1)."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return one == other


def _told_apart(distribution: Distribution, dependents: list[Dimension]) -> list[HParam]:
    """The values of a distribution on which conditions may turn; nothing depends on the others."""
    if isinstance(distribution, Choice):
        return list(distribution.values)
    named = [value for child in dependents if child.when for value in child.when.values]
    numbers = {v for v in named if isinstance(v, int | float) and not isinstance(v, bool)}
    return [v for v in numbers if distribution.low <= v <= distribution.high]


def _steps(low: float, high: float, step: float) -> int:
    # A tolerance, because 0.3 / 0.1 is 2.9999999999999996.
    return math.floor((high - low) / step + 1e-9)
