"""Forbidden combinations and derived values: from the text of a spec to rules over its trials."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from hpo.space import Choice, Distribution, Rule, SearchSpace
from hpo.spec.file.document import Mistake
from hpo.spec.fill import filled
from hpo.spec.marks import Spec, mark_of
from hpo.spec.schema import (
    Leaf,
    field_errors,
    leaf_mistake,
    leaves_at,
    place_of,
    value_at,
    variants_of,
)
from hpo.spec.space.conditions import drives, refusal
from hpo.spec.space.dimensions import no_such_leaf
from hpo.spec.space.entries import Formula
from hpo.spec.space.expressions import (
    Comparison,
    Condition,
    Literal,
    Path,
    Sum,
    comparisons,
    evaluate,
    holds,
    is_ordering,
    parse_condition,
    paths_of,
)
from hpo.spec.words import shown
from hpo.trial import HParam, HParams

FORBID = ("space", "forbid")
# Trials that are drawn at a check, to see that some are allowed and that derived values fit.
_PROBES = 200
_MOST_PROBES = 2_000


@dataclass(frozen=True)
class Leaves:
    """The leaves of a trial: its hparams, and the spec's `values` for all others."""

    values: Mapping[str, Any]
    varying: tuple[str, ...]
    root: type[Spec]

    def lookup(self, hparams: HParams) -> Callable[[str], HParam]:
        """The values of one trial's leaves; raises KeyError where it does not have them."""

        def value(path: str) -> HParam:
            if path in hparams:
                return hparams[path]
            if any(self.drives(other, path) for other in self.varying):
                return _plain(value_at(self.root, self._filled(hparams), path))
            return self._fixed(path)

        return value

    def place(self, path: str, hparams: HParams) -> tuple[type[Any], str] | None:
        """The spec class and field of a leaf in a trial, or None where it is not there."""
        return place_of(self.root, self._filled(hparams), path)

    def drives(self, path: str, other: str) -> bool:
        """Whether the value at `path` may change the one at `other`, without being it."""
        return drives(path, other, self.root)

    def deciding(self, path: str) -> frozenset[str]:
        """The dimensions that decide the value at a path."""
        return frozenset(d for d in self.varying if d == path or self.drives(d, path))

    def _fixed(self, path: str) -> HParam:
        return _plain(value_at(self.root, self.values, path))

    def _filled(self, hparams: HParams) -> dict[str, Any]:
        return filled(self.values, hparams, self.root)


@dataclass(frozen=True)
class Forbidden:
    """A condition that no trial may meet."""

    text: str
    deciding: frozenset[str]
    condition: Condition
    leaves: Leaves

    @cached_property
    def landmarks(self) -> Mapping[str, Sequence[float]]:
        """The numbers that leaves are compared with, by path."""
        found: dict[str, list[float]] = {}
        for comparison in comparisons(self.condition):
            sides = (comparison.left, comparison.right)
            for side, other in (sides, sides[::-1]):
                if isinstance(side, Path):
                    found.setdefault(side.path, []).extend(self._numbers(other))
        return {path: numbers for path, numbers in found.items() if numbers}

    def _numbers(self, side: Literal | Path) -> list[float]:
        if isinstance(side, Literal):
            value = side.value
        else:
            if self.leaves.deciding(side.path):
                return []
            try:
                value = self.leaves.lookup({})(side.path)
            except KeyError:
                return []
        several = value if isinstance(value, list) else [value]
        return [x for x in several if isinstance(x, int | float) and not isinstance(x, bool)]

    def forbids(self, hparams: HParams) -> bool:
        """Whether a trial meets the condition."""
        return holds(self.condition, self.leaves.lookup(hparams))


@dataclass(frozen=True)
class DerivedLeaf:
    """A leaf that follows from others; whole numbers are rounded to where the leaf wants them."""

    path: str
    text: str
    deciding: frozenset[str]
    term: Sum
    leaves: Leaves

    def value(self, hparams: HParams) -> HParam:
        """The leaf's value beside these hparams; NaN where the sum has none.

        Raises:
            KeyError: where the trial lacks the leaf, or one that it is derived from.
        """
        place = self._only_place or self.leaves.place(self.path, hparams)
        if place is None:
            raise KeyError(self.path)
        try:
            found = evaluate(self.term, self.leaves.lookup(hparams))
        except ValueError:
            return math.nan
        # A leaf that wants a whole number refuses 64.0, and takes what it is rounded to.
        if isinstance(found, float) and self._refuses(place, found):
            return found if self._refuses(place, round(found)) else round(found)
        return found

    def _refuses(self, place: tuple[type[Any], str], value: float) -> bool:
        owner, field = place
        return field in field_errors(owner, {field: value})

    @cached_property
    def _only_place(self) -> tuple[type[Any], str] | None:
        is_shaped = any(self.leaves.drives(other, self.path) for other in self.leaves.varying)
        return None if is_shaped else self.leaves.place(self.path, {})


@dataclass(frozen=True)
class Fits:
    """Forbids derived values that their leaf refuses."""

    leaf: DerivedLeaf
    # A check finds what does not fit, so it is not worth counting configurations by.
    deciding: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        """The leaf and what it is derived from."""
        return f"{self.leaf.path} is {self.leaf.text}"

    @property
    def landmarks(self) -> Mapping[str, Sequence[float]]:
        """None: what a leaf refuses is not said in numbers."""
        return {}

    def forbids(self, hparams: HParams) -> bool:
        """Whether the derived value of a trial is one that its leaf cannot have."""
        return self.leaf.path in hparams and self.trouble(hparams) is not None

    def trouble(self, hparams: HParams) -> str | None:
        """Why the leaf cannot have its derived value, if so."""
        value, place = hparams[self.leaf.path], self.leaf.leaves.place(self.leaf.path, hparams)
        if place is None:
            return None
        if isinstance(value, float) and math.isnan(value):
            return "has no value: keep what it is derived from to numbers other than 0"
        owner, field = place
        errors = field_errors(owner, {field: value})
        return leaf_mistake(owner, field, value, errors) if field in errors else None


def ruled_space(
    space: SearchSpace,
    formulas: Sequence[Formula],
    forbid: Any,
    values: Mapping[str, Any],
    root: type[Spec],
) -> tuple[SearchSpace, list[Mistake]]:
    """The space with derived leaves and rules over the training spec in `values`, or mistakes."""
    dimensions = tuple(d.path for d in space.dimensions)
    leaves = Leaves(values, dimensions, root)
    derived, found = _derived(formulas, leaves)
    space = replace(space, derived=tuple(derived))
    rules: list[Rule] = [Fits(leaf) for leaf in derived]
    if not isinstance(forbid, list):
        example = "[optimizer.name == sgd and optimizer.learning_rate > 0.5]"
        found.append(Mistake(FORBID, f"cannot be {shown(forbid)}: write a list, {example}"))
        forbid = []
    for index, text in enumerate(forbid):
        rule = _forbidden(text, leaves, derived)
        if isinstance(rule, str):
            found.append(Mistake((*FORBID, index), rule))
        else:
            rules.append(rule)
    if (formulas or forbid) and not dimensions:
        at = ("space", formulas[0].path) if formulas else FORBID
        found.append(Mistake(at, "depends on nothing that varies: set the leaf in the spec"))
    if not found:
        space = replace(space, rules=tuple(rules))
        found += _probed(space)
    return space, found


def _derived(
    formulas: Sequence[Formula], leaves: Leaves
) -> tuple[list[DerivedLeaf], list[Mistake]]:
    """The derived leaves, those that others are derived from first, or what is wrong with them."""
    found = [
        Mistake(("space", formula.path, *below), text)
        for formula in formulas
        for below, text in _formula_mistakes(formula, leaves.root)
    ]
    if found:
        return [], found
    waiting = {formula.path: formula for formula in formulas}
    ordered: list[DerivedLeaf] = []
    while waiting:
        ready = [f for f in waiting.values() if not waiting.keys() & {*paths_of(f.term)}]
        if not ready:
            path = next(iter(waiting))
            text = f"is derived in a circle: {', '.join(sorted(waiting))}. Remove one"
            return [], [Mistake(("space", path, "derived"), text)]
        formula = waiting.pop(ready[0].path)
        deciding = _deciding((formula.path, *paths_of(formula.term)), leaves, ordered)
        ordered.append(DerivedLeaf(formula.path, formula.text, deciding, formula.term, leaves))
    return ordered, []


def _deciding(
    paths: Sequence[str], leaves: Leaves, derived: Sequence[DerivedLeaf]
) -> frozenset[str]:
    above = {leaf.path: leaf.deciding for leaf in derived}
    none: frozenset[str] = frozenset()
    return frozenset().union(*(leaves.deciding(p) | above.get(p, none) for p in paths))


def _formula_mistakes(formula: Formula, root: type[Spec]) -> Iterator[tuple[tuple[str, ...], str]]:
    path = formula.path
    places = leaves_at(root, path)
    if not places:
        yield (), no_such_leaf(path, root)
    elif places[0].is_tag or any(variants_of(leaf.owner, leaf.field) for leaf in places):
        yield (), "cannot be derived: it is no single value. Derive one of its leaves"
    elif all(mark_of(leaf.owner, leaf.field) is None for leaf in places):
        yield (), f"cannot vary: it is the same for all trials. Set {path} in the spec"
    for source in paths_of(formula.term):
        if not leaves_at(root, source):
            yield ("derived",), no_such_leaf(source, root)


def _forbidden(text: Any, leaves: Leaves, derived: Sequence[DerivedLeaf]) -> Forbidden | str:
    """A rule, or what is wrong with its text."""
    if not isinstance(text, str):
        return f"cannot be {shown(text)}: write a condition such as model.dropout > 0.3"
    try:
        condition = parse_condition(text)
    except ValueError as error:
        return f"{shown(text)} {error}"
    paths = paths_of(condition)
    for comparison in comparisons(condition):
        trouble = _comparison_trouble(comparison, leaves.root)
        if trouble is not None:
            return trouble
    rule = Forbidden(text, _deciding(paths, leaves, derived), condition, leaves)
    if not rule.deciding and rule.forbids({}):
        return f"{shown(text)} holds for every trial, because nothing in it varies: remove it"
    return rule


def _is_section(leaf: Leaf) -> bool:
    kind = variants_of(leaf.owner, leaf.field)
    is_leaf = mark_of(leaf.owner, leaf.field) is not None
    return kind is not None and (kind.tag is not None or (len(kind.specs) == 1 and not is_leaf))


def _comparison_trouble(comparison: Comparison, root: type[Spec]) -> str | None:
    """Why two sides cannot be compared, if so."""
    sides, orders = (comparison.left, comparison.right), is_ordering(comparison)
    paths = [side.path for side in sides if isinstance(side, Path)]
    if not paths:
        return "compares values with each other: name a leaf, such as optimizer.name"
    for path in paths:
        places = leaves_at(root, path)
        if not places:
            return no_such_leaf(path, root)
        if any(_is_section(leaf) for leaf in places):
            return f"{path} is a whole section: compare one of its leaves, such as {path}.name"
        if orders and all(refusal(path, number, root) for number in (1, 1.0, 0.5, 0)):
            return f"{path} is not a number: compare with ==, != or in"
    for side in sides:
        if not isinstance(side, Literal):
            continue
        if orders and (isinstance(side.value, bool) or not isinstance(side.value, int | float)):
            return f"{shown(side.value)} is not a number: compare with ==, != or in"
        if orders:
            continue
        is_list = isinstance(side.value, list) and refusal(paths[0], side.value, root) is not None
        for value in side.value if is_list and isinstance(side.value, list) else [side.value]:
            refused = refusal(paths[0], value, root)
            if refused is not None:
                return f"{paths[0]} {refused}"
    return None


def _probed(space: SearchSpace) -> list[Mistake]:
    """Whether rules leave anything, and what derived values do not fit, by drawing trials."""
    if not space.rules:
        return []
    if space.size == 0:
        return [Mistake(FORBID, "forbids every configuration: remove or loosen a rule")]
    rng = random.Random(0)
    fits = [rule for rule in space.rules if isinstance(rule, Fits)]
    others = [rule for rule in space.rules if not isinstance(rule, Fits)]
    allowed = 0
    for number in range(_MOST_PROBES):
        hparams: dict[str, HParam] = {}
        # Of those that are no corners every other is drawn as a search draws where little is left.
        parts = space.in_parts(rng.random) if number % 4 == 1 else {}
        for dimension in space.dimensions:
            if space.is_active(dimension, hparams):
                # Every other trial is a corner, where derived values are largest and smallest.
                values = () if number % 2 else _ends(dimension.distribution)
                hparams[dimension.path] = (
                    rng.choice(values)
                    if values
                    else parts[dimension.path]
                    if dimension.path in parts
                    else dimension.distribution.at(rng.random())
                )
        complete = space.completed(hparams)
        if any(rule.forbids(complete) for rule in others):
            continue
        for rule in fits:
            trouble = rule.trouble(complete) if rule.leaf.path in complete else None
            if trouble is not None:
                beside = {path: complete[path] for path in paths_of(rule.leaf.term)
                          if path in complete}  # fmt: skip
                given = " and ".join(f"{path} at {shown(v)}" for path, v in beside.items())
                at = ("space", rule.leaf.path, "derived")
                return [Mistake(at, f"{f'with {given}, ' if given else ''}{trouble}")]
        allowed += 1
        if allowed >= _PROBES:
            break
    if not allowed:
        text = f"forbids all of {_MOST_PROBES:,} configurations drawn: remove or loosen a rule"
        return [Mistake(FORBID, text)]
    return []


def _ends(distribution: Distribution) -> tuple[HParam, ...]:
    if isinstance(distribution, Choice):
        return distribution.values
    return distribution.low, distribution.high if distribution.step is None else distribution.at(
        1 - 1e-12
    )


def _plain(value: Any) -> HParam:
    plain: HParam = list(value) if isinstance(value, tuple) else value
    return plain
