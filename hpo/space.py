"""The search space: a distribution for each leaf of the spec that may vary.

Plain values without YAML, JAX or Optuna. In a space, a dimension comes after the one that its
condition reads. A dimension is *active* in a trial if its condition holds, and the dimension that
its condition reads is active too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
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
    identity,
    parts_of,
    same_value,
    values_of,
    with_bounds,
)
from hpo.errors import HpoError
from hpo.trial import HParam, HParams

if TYPE_CHECKING:
    # Needed only as a type; importing it would double the time of `hpo check`.
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
    "identity",
    "same_value",
    "values_of",
    "with_bounds",
]


@dataclass(frozen=True)
class Condition:
    """Holds in a trial whose leaf at `path` has one of `values`."""

    path: str
    values: tuple[HParam, ...]

    def holds(self, value: HParam) -> bool:
        """Whether a value is one of `values`."""
        return identity(value) in self._identities

    @cached_property
    def _identities(self) -> frozenset[Hashable]:
        return frozenset(map(identity, self.values))


@dataclass(frozen=True)
class Prior:
    """Where the user believes the best value of a dimension to be."""

    value: HParam


@dataclass(frozen=True)
class Dimension:
    """A leaf that varies: its dotted `path`, its distribution and when it is active.

    `limits` are the widest bounds to which a search may move its range; None for a fixed range.
    """

    path: str
    distribution: Distribution
    when: Condition | None = None
    prior: Prior | None = None
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class RangeMove:
    """A new range for the dimension at `path`, decided when the study had `trials` trials.

    `written` are the bounds that the spec had then; None in records of earlier versions.
    """

    path: str
    low: float
    high: float
    trials: int
    reason: str
    written: tuple[float, float] | None = None


class Rule(Protocol):
    """A combination that no trial may have; `deciding` are the dimensions that it reads."""

    @property
    def text(self) -> str:
        """The rule as its author wrote it."""
        ...

    @property
    def deciding(self) -> frozenset[str]: ...

    @property
    def landmarks(self) -> Mapping[str, Sequence[float]]:
        """The numbers with which it compares leaves, by path; nothing changes between them."""
        ...

    def forbids(self, hparams: HParams) -> bool:
        """Whether a trial with these hparams, derived ones included, has the combination."""
        ...


class NothingAllowedError(HpoError):
    """The rules allow so little that no draw is allowed."""


class Derived(Protocol):
    """A leaf whose value follows from others."""

    @property
    def path(self) -> str: ...

    @property
    def text(self) -> str:
        """The formula, as its author wrote it."""
        ...

    @property
    def deciding(self) -> frozenset[str]: ...

    def value(self, hparams: HParams) -> HParam:
        """Its value, computed from these hparams.

        Raises:
            KeyError: if the trial lacks the leaf, or one from which it is derived.
        """
        ...


# Forbidden draws before a space counts as empty. A share of 1 in 1,000 is found with near certainty
# before draws are made part by part.
_MOST_DRAWS = 10_000
_EVEN_DRAWS = 5_000
# The most combinations of a rule that are counted; more would take seconds.
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
        """The paths that may vary: each dimension, and the paths within its choices of parts."""
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
        return when is None or (when.path in hparams and when.holds(hparams[when.path]))

    def own_part(self, hparams: HParams) -> dict[str, HParam] | None:
        """The hparams of the active dimensions; None where one is missing or cannot be given."""
        found: dict[str, HParam] = {}
        for dimension in self.dimensions:
            if self.is_active(dimension, found):
                path = dimension.path
                if path not in hparams or not can_give(dimension.distribution, hparams[path]):
                    return None
                found[path] = hparams[path]
        return found

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
        """Whether hparams break no rule; derived ones may be missing."""
        return not self.rules or self.broken_rule(self.completed(hparams)) is None

    def draw(self, rng: np.random.Generator, given: HParams | None = None) -> dict[str, HParam]:
        """One independent draw of all active dimensions, completed; forbidden draws are repeated.

        Values in `given` are taken unchanged. Inactive dimensions use up their random number too,
        so that the values of a trial's other dimensions do not depend on them. After 5,000
        forbidden draws, further ones are made part by part: see `in_parts`.

        Raises:
            NothingAllowedError: if the rules allow next to nothing.
        """
        for number in range(_MOST_DRAWS if self.rules else 1):
            parts = self.in_parts(rng.random) if number >= _EVEN_DRAWS else {}
            hparams = self.at(rng.random(len(self)).tolist(), {**parts, **(given or {})})
            if self.derived:
                hparams = self.completed(hparams)
            if not self.rules or self.broken_rule(hparams) is None:
                return hparams
        raise NothingAllowedError(
            f"space.forbid: the rules forbid all {_MOST_DRAWS:,} configurations drawn: remove a"
            " rule, or narrow the dimensions to allowed values."
        )

    def at(self, positions: Sequence[float], given: HParams | None = None) -> dict[str, HParam]:
        """The active dimensions as `given`, the others at their `positions` in [0, 1).

        Each dimension has a position. It checks no rule and derives nothing.
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
        """Values of the dimensions that rules compare with numbers; all parts are equally likely.

        So draws also reach a narrow part between two of those numbers. `uniform` draws from
        [0, 1).
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
        """The number of different trials; infinite if a dimension is continuous.

        Rules over more than 50,000 combinations are ignored: it is then an upper bound.
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
        """The allowed combinations of the dimensions in `ruled`; call it only if `is_counted`."""
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
        """The dimensions that rules read, and those that their conditions read."""
        ruled = {path for rule in self.rules for path in rule.deciding}
        for dimension in reversed(self.dimensions):
            if dimension.path in ruled and dimension.when is not None:
                ruled.add(dimension.when.path)
        return frozenset(ruled)

    def combinations(self, dimensions: Sequence[Dimension]) -> Iterator[dict[str, HParam]]:
        """Every choice of values for finite dimensions, with those that their conditions read."""
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
        values = _deciding_values(dimension.distribution, dependents)
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


def _deciding_values(distribution: Distribution, dependents: list[Dimension]) -> list[HParam]:
    """The values of a distribution that conditions may name; no condition depends on the others."""
    if isinstance(distribution, Choice):
        return list(distribution.values)
    named = [value for child in dependents if child.when for value in child.when.values]
    numbers = {v for v in named if isinstance(v, int | float) and not isinstance(v, bool)}
    return [v for v in numbers if distribution.low <= v <= distribution.high]
