"""The search space: a distribution for each leaf of the spec that may vary.

Plain values without YAML, JAX or Optuna. A space is ordered so that a dimension comes after the
one its condition looks at; a dimension is *active* in a trial when its condition holds there (and,
along a chain, that of the dimension it looks at).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from hpo.distributions import (
    Choice,
    Distribution,
    Float,
    Int,
    as_given,
    can_give,
    parts_of,
    same_value,
    values_of,
    with_bounds,
)
from hpo.errors import HpoError
from hpo.trial import HParam, HParams

if TYPE_CHECKING:
    # Only a type here, and half of what `hpo check` would wait for.
    import numpy as np

__all__ = [
    "Choice",
    "Condition",
    "Derived",
    "Dimension",
    "Distribution",
    "Float",
    "Int",
    "NothingAllowedError",
    "Prior",
    "RangeMove",
    "Rule",
    "SearchSpace",
    "as_given",
    "can_give",
    "same_value",
    "values_of",
    "with_bounds",
]


@dataclass(frozen=True)
class Condition:
    """Holds in a trial whose leaf at `path` has one of `values`."""

    path: str
    values: tuple[HParam, ...]


@dataclass(frozen=True)
class Prior:
    """Where the user believes the best value of a dimension to be."""

    value: HParam


@dataclass(frozen=True)
class Dimension:
    """A leaf that varies: its dotted `path`, its distribution and when it is active.

    `limits` are the bounds that its range may be widened to as the search goes, None where it
    stays as it is.
    """

    path: str
    distribution: Distribution
    when: Condition | None = None
    prior: Prior | None = None
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class RangeMove:
    """A new range for the dimension at `path`, decided when there were so many `trials`.

    `written` are the bounds that the spec had then; None in what earlier versions recorded.
    """

    path: str
    low: float
    high: float
    trials: int
    reason: str
    written: tuple[float, float] | None = None


class Rule(Protocol):
    """A combination that no trial may have; `deciding` are the dimensions that it turns on."""

    @property
    def text(self) -> str:
        """The rule as its author wrote it."""
        ...

    @property
    def deciding(self) -> frozenset[str]: ...

    @property
    def landmarks(self) -> Mapping[str, Sequence[float]]:
        """The numbers that it compares leaves with, by path: in between it says the same."""
        ...

    def forbids(self, hparams: HParams) -> bool:
        """Whether a trial with these hparams, derived ones included, has the combination."""
        ...


class NothingAllowedError(HpoError):
    """Rules leave so little that no draw has met it."""


class Derived(Protocol):
    """A leaf whose value follows from others."""

    @property
    def path(self) -> str: ...

    @property
    def text(self) -> str:
        """What it is derived from, as its author wrote it."""
        ...

    @property
    def deciding(self) -> frozenset[str]: ...

    def value(self, hparams: HParams) -> HParam:
        """Its value beside these hparams.

        Raises:
            KeyError: where the trial lacks the leaf, or one that it is derived from.
        """
        ...


# Draws that are forbidden before a space counts as empty; one in 1,000 that is allowed is found
# with near certainty before draws are made part by part.
_MOST_DRAWS = 10_000
_EVEN_DRAWS = 5_000
# Combinations that a rule may turn on and still be counted; more would take seconds.
_MOST_COUNTED = 50_000


@dataclass(frozen=True)
class SearchSpace:
    """The dimensions, parents before the dimensions that depend on them.

    `derived` leaves come in the order in which they can be computed, and `rules` hold beside them.
    """

    dimensions: tuple[Dimension, ...] = ()
    derived: tuple[Derived, ...] = ()
    rules: tuple[Rule, ...] = ()

    def __len__(self) -> int:
        return len(self.dimensions)

    @cached_property
    def by_path(self) -> Mapping[str, Dimension]:
        """Each dimension under its path."""
        return {dimension.path: dimension for dimension in self.dimensions}

    @cached_property
    def varying(self) -> frozenset[str]:
        """The paths that may vary: of each dimension, and of what its choices of parts mention."""
        paths = {*self.by_path, *(derived.path for derived in self.derived)}
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

    def completed(self, hparams: HParams) -> dict[str, HParam]:
        """The hparams with the values that are derived from them, which replace older ones."""
        complete = {path: hparams[path] for path in self.by_path if path in hparams}
        for derived in self.derived:
            with suppress(KeyError):
                complete[derived.path] = derived.value(complete)
        return complete

    def broken_rule(self, hparams: HParams) -> Rule | None:
        """The first rule that complete hparams break, if any."""
        return next((rule for rule in self.rules if rule.forbids(hparams)), None)

    def allows(self, hparams: HParams) -> bool:
        """Whether hparams break no rule; derived ones need not be among them."""
        return not self.rules or self.broken_rule(self.completed(hparams)) is None

    def draw(self, rng: np.random.Generator, given: HParams | None = None) -> dict[str, HParam]:
        """One independent draw of every active dimension, completed; again while it is forbidden.

        What is `given` is taken as it is. Inactive dimensions use up their random number too, so
        that the values of a trial's other dimensions do not depend on them. Where rules leave
        little, the second half of the draws are made part by part: see `in_parts`.

        Raises:
            NothingAllowedError: if the rules leave next to nothing.
        """
        for number in range(_MOST_DRAWS if self.rules else 1):
            parts = self.in_parts(rng.random) if number >= _EVEN_DRAWS else {}
            hparams = self.place(rng.random(len(self)).tolist(), {**parts, **(given or {})})
            if self.derived:
                hparams = self.completed(hparams)
            if not self.rules or self.broken_rule(hparams) is None:
                return hparams
        raise NothingAllowedError(
            f"space.forbid: none of {_MOST_DRAWS:,} configurations drawn is allowed: remove a rule,"
            " or narrow the dimensions to what is allowed."
        )

    def place(self, positions: Sequence[float], given: HParams | None = None) -> dict[str, HParam]:
        """The active dimensions as `given`, the others at their `positions` in [0, 1).

        Each dimension has a position. Rules are not looked at, and nothing is derived.
        """
        hparams: dict[str, HParam] = {}
        given = given or {}
        for dimension, position in zip(self.dimensions, positions, strict=True):
            if self.is_active(dimension, hparams):
                path = dimension.path
                hparams[path] = (
                    given[path] if path in given else dimension.distribution.at(position)
                )
        return hparams

    def in_parts(self, uniform: Callable[[], float]) -> dict[str, HParam]:
        """Values of the numbers that rules compare with others: each part of a range is as likely.

        So is what rules leave between two of those numbers met, however close they are. `uniform`
        draws from [0, 1).
        """
        return {
            path: parts[math.floor(uniform() * len(parts))].at(uniform())
            for path, parts in self._parts.items()
        }

    @cached_property
    def _parts(self) -> dict[str, tuple[Distribution, ...]]:
        landmarks: dict[str, list[float]] = {}
        for rule in self.rules:
            for path, numbers in rule.landmarks.items():
                landmarks.setdefault(path, []).extend(numbers)
        return {
            d.path: parts_of(d.distribution, landmarks[d.path])
            for d in self.dimensions
            if d.path in landmarks
        }

    @cached_property
    def size(self) -> float:
        """How many different trials there are; infinite where a dimension is continuous.

        Rules that turn on more than 50,000 combinations are not counted: then it is an upper bound.
        """
        ruled = self.ruled
        roots = [d for d in self.dimensions if d.when is None]
        total = math.prod(self._size_below(d) for d in roots if d.path not in ruled)
        if not ruled:
            return total
        if not self.is_counted:
            return math.prod(map(self._size_below, roots))
        allowed = sum(
            math.prod(
                self._size_below(child)
                for path in hparams
                for child in self._children.get(path, ())
                if child.path not in ruled and self.is_active(child, hparams)
            )
            for hparams in self.allowed
        )
        return total * allowed if allowed else 0

    @cached_property
    def is_counted(self) -> bool:
        """Whether `size` is exact."""
        return (
            math.prod(d.distribution.size for d in self.dimensions if d.path in self.ruled)
            <= _MOST_COUNTED
        )

    @cached_property
    def allowed(self) -> Sequence[HParams]:
        """What rules leave of the dimensions that they turn on: to be asked for if `is_counted`."""
        rules = [rule for rule in self.rules if rule.deciding]
        ruled = [dimension for dimension in self.dimensions if dimension.path in self.ruled]
        return [
            hparams
            for hparams in self.combinations(ruled)
            if not any(
                rule.forbids(complete) for complete in [self.completed(hparams)] for rule in rules
            )
        ]

    @cached_property
    def ruled(self) -> frozenset[str]:
        """The dimensions that rules turn on, and those that their conditions look at."""
        ruled = {path for rule in self.rules for path in rule.deciding}
        for dimension in reversed(self.dimensions):
            if dimension.path in ruled and dimension.when is not None:
                ruled.add(dimension.when.path)
        return frozenset(ruled)

    def combinations(self, dimensions: Sequence[Dimension]) -> Iterator[dict[str, HParam]]:
        """Every choice of values for finite dimensions that hold those their conditions look at."""
        if not dimensions:
            yield {}
            return
        *before, last = dimensions
        for hparams in self.combinations(before):
            if self.is_active(last, hparams):
                for value in values_of(last.distribution):
                    yield {**hparams, last.path: value}
            else:
                yield hparams

    @cached_property
    def _children(self) -> dict[str, list[Dimension]]:
        children: dict[str, list[Dimension]] = {}
        for dimension in self.dimensions:
            if dimension.when is not None:
                children.setdefault(dimension.when.path, []).append(dimension)
        return children

    def _size_below(self, dimension: Dimension) -> float:
        dependents = self._children.get(dimension.path, [])
        values = _told_apart(dimension.distribution, dependents)
        return (dimension.distribution.size - len(values)) + sum(
            math.prod(
                self._size_below(child)
                for child in dependents
                if self.is_active(child, {dimension.path: value})
            )
            for value in values
        )


def _paths_below(path: str, value: HParam) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield f"{path}.{name}"
            yield from _paths_below(f"{path}.{name}", inner)


def _told_apart(distribution: Distribution, dependents: list[Dimension]) -> list[HParam]:
    """The values of a distribution on which conditions may turn; nothing depends on the others."""
    if isinstance(distribution, Choice):
        return list(distribution.values)
    named = [value for child in dependents if child.when for value in child.when.values]
    numbers = {v for v in named if isinstance(v, int | float) and not isinstance(v, bool)}
    return [v for v in numbers if distribution.low <= v <= distribution.high]
