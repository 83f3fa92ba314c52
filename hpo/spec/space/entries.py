"""The entries of a `space` section: a distribution for a leaf, and when it is active."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hpo.space import Choice, Distribution, Float, Int, Prior, as_given, can_give, identity
from hpo.spec.file.document import KeyPath, Mistake
from hpo.spec.space.expressions import Sum, parse_sum, paths_of
from hpo.spec.words import range_of, shown, unknown_name
from hpo.trial import HParam

KINDS = ("float", "int", "choice", "value", "derived")
ENTRY_KEYS = (*KINDS, "log", "step", "when", "prior", "adapt")


@dataclass(frozen=True)
class Entry:
    """One entry as written: the leaf's path, its distribution, the condition yet unchecked.

    `adapt` is True or the limits of a range that may move.
    """

    path: str
    distribution: Distribution
    when: tuple[str, HParam] | None
    key: str | None  # that holds the distribution; None for a constant
    prior: Prior | None = None
    adapt: Literal[True] | tuple[float, float] | None = None

    def place(self, index: int) -> KeyPath:
        """Where the value at an index of its choices is written; bounds count as one place."""
        at: KeyPath = ("space", self.path)
        if self.key == "choice":
            return (*at, "choice", index)
        return (*at, "value") if self.key == "value" else at


@dataclass(frozen=True)
class Formula:
    """An entry whose value follows from other leaves: `{derived: optimizer.learning_rate * 0.1}`.

    Only read here: whether its leaves exist is yet unchecked.
    """

    path: str
    text: str
    term: Sum


def read_entry(path: str, written: Any) -> tuple[Entry | Formula | None, list[Mistake]]:
    """One entry, or what is wrong with it; anything but a mapping is a constant.

    `{float: [0.0, 0.5]}`, `{int: [1, 4], step: 1, when: {model.name: mlp}}`, `{choice: [a, b]}`,
    `{value: x}`, `{derived: sum}` and plain `x`; `log: true` and `step` go with `float` and `int`.
    """
    at = ("space", path)
    if not isinstance(written, Mapping):
        return Entry(path, Choice((written,)), None, None), []
    found = [
        Mistake((*at, key), unknown_name(key, ENTRY_KEYS, "key"))
        for key in written
        if key not in ENTRY_KEYS
    ]
    kinds = [kind for kind in KINDS if kind in written]
    if len(kinds) != 1:
        has = f"has both {' and '.join(kinds)}" if kinds else "has no distribution"
        text = (
            f"{has}: write one of {{float: [low, high]}}, {{int: [low, high]}}, {{choice: [...]}}"
        )
        return None, [*found, *([] if found and not kinds else [Mistake(at, text)])]
    kind = kinds[0]
    if kind == "derived":
        formula = _formula(at, written)
        return (None, [*found, formula]) if isinstance(formula, Mistake) else (formula, found)
    distribution: Distribution | list[Mistake]
    if kind in ("float", "int"):
        in_range = _range(at, kind, written)
        distribution = [in_range] if isinstance(in_range, Mistake) else in_range
    else:
        distribution = _choice(at, written[kind] if kind == "choice" else [written["value"]])
        for key in ("log", "step"):
            if key in written:
                text = f"does not go with {kind}: remove it, or write float or int"
                found.append(Mistake((*at, key), text))
    when = _when(at, written["when"]) if "when" in written else None
    if isinstance(distribution, list):
        found += distribution
    if isinstance(when, Mistake):
        found.append(when)
    if found or isinstance(distribution, list) or isinstance(when, Mistake):
        return None, found
    prior = _prior(at, written["prior"], distribution) if "prior" in written else None
    adapt = _adapt(at, written["adapt"], distribution) if "adapt" in written else None
    if isinstance(prior, Mistake) or isinstance(adapt, Mistake):
        return None, [wrong for wrong in (prior, adapt) if isinstance(wrong, Mistake)]
    return Entry(path, distribution, when, kind, prior, adapt), []


def _formula(at: tuple[str, str], written: Mapping[str, Any]) -> Formula | Mistake:
    others = [key for key in written if key in ENTRY_KEYS and key != "derived"]
    if others:
        return Mistake((*at, others[0]), "does not go with derived: remove one")
    text = written["derived"]
    text = str(text) if _is_number(text) else text
    if not isinstance(text, str):
        example = "optimizer.learning_rate * 0.1"
        return Mistake((*at, "derived"), f"cannot be {shown(text)}: write a sum such as {example}")
    try:
        term = parse_sum(text)
    except ValueError as error:
        return Mistake((*at, "derived"), f"{shown(text)} {error}")
    if not paths_of(term):
        return Mistake((*at, "derived"), f"{shown(text)} looks at no leaf: write value instead")
    return Formula(at[1], text, term)


def _prior(at: KeyPath, value: HParam, distribution: Distribution) -> Prior | Mistake:
    if not can_give(distribution, value):
        known = range_of(distribution)
        return Mistake((*at, "prior"), f"{shown(value)} is not among its values: write {known}")
    return Prior(as_given(distribution, value))


def _adapt(
    at: KeyPath, written: Any, distribution: Distribution
) -> Literal[True] | tuple[float, float] | Mistake | None:
    here = (*at, "adapt")
    if written is False:
        return None
    if isinstance(distribution, Choice):
        return Mistake(here, "does not go with choice: remove it, or write float or int")
    if written is True:
        return True
    if not isinstance(written, list) or len(written) != 2 or not all(map(_is_number, written)):
        return Mistake(here, f"cannot be {shown(written)}: write true, or its limits [low, high]")
    low, high = written
    if isinstance(distribution, Int) and not all(isinstance(limit, int) for limit in written):
        return Mistake(here, f"{shown(written)} are not whole limits: write whole ones")
    if distribution.log and low <= 0:
        return Mistake(here, f"low ({shown(low)}) must be above 0 for log: raise it or remove log")
    if low > distribution.low or high < distribution.high:
        own = f"{distribution.low} to {distribution.high}"
        return Mistake(here, f"{shown(written)} leaves out some of {own}: write wider limits")
    kind = int if isinstance(distribution, Int) else float
    return kind(low), kind(high)


def _range(at: KeyPath, kind: str, written: Mapping[str, Any]) -> Float | Int | Mistake:
    bounds, log, step = written[kind], written.get("log", False), written.get("step")
    here = (*at, kind)
    if not isinstance(bounds, list) or len(bounds) != 2:
        return Mistake(here, f"cannot be {shown(bounds)}: write [low, high]")
    for bound in bounds:
        if not _is_number(bound):
            return Mistake(here, f"{shown(bound)} is not a finite number: write [low, high]")
        if kind == "int" and not isinstance(bound, int):
            return Mistake(here, f"{bound} is not whole: write whole bounds, or float for int")
    low, high = bounds
    if low >= high:
        swapped, constant = shown([high, low]), shown({"value": low})
        cure = f"swap them, {swapped}" if low > high else f"write {constant} for a constant"
        return Mistake(at, f"low ({shown(low)}) must be below high ({shown(high)}): {cure}")
    if not isinstance(log, bool):
        return Mistake((*at, "log"), f"cannot be {shown(log)}: write true or false")
    if log and low <= 0:
        return Mistake(at, f"low ({shown(low)}) must be above 0 for log: raise it or remove log")
    if log and step is not None:
        return Mistake(at, "log and step exclude each other: remove one")
    if step is not None and (not _is_number(step) or step <= 0):
        return Mistake((*at, "step"), f"cannot be {shown(step)}: write a number above 0")
    if step is not None and step > high - low:
        within = f"{shown(low)} to {shown(high)}"
        text = f"{shown(step)} is larger than the range from {within}: write a smaller one"
        return Mistake((*at, "step"), text)
    if kind == "float":
        return Float(float(low), float(high), log, None if step is None else float(step))
    if step is not None and not isinstance(step, int):
        return Mistake((*at, "step"), f"{step} is not whole: write a whole step, or float for int")
    return Int(low, high, log, step or 1)


def _choice(at: KeyPath, values: Any) -> Choice | list[Mistake]:
    here = (*at, "choice")
    if not isinstance(values, list):
        return [Mistake(here, f"cannot be {shown(values)}: write a list of values")]
    if not values:
        return [Mistake(here, "is empty: write at least one value")]
    found, before = [], set()
    for index, value in enumerate(values):
        key = identity(value)
        if key in before:
            found.append(Mistake((*here, index), f"{shown(value)} is listed twice: remove one"))
        before.add(key)
    return found or Choice(tuple(values))


def _when(at: KeyPath, written: Any) -> tuple[str, HParam] | Mistake:
    here = (*at, "when")
    if not isinstance(written, Mapping) or len(written) != 1:
        text = f"cannot be {shown(written)}: write one path, {{optimizer.name: [sgd, rmsprop]}}"
        return Mistake(here, text)
    ((path, values),) = written.items()
    if values == []:
        return Mistake((*here, path), "is empty: write at least one value")
    return path, values


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
