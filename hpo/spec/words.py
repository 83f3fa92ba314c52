"""Values and types in the words of messages."""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from hpo.errors import cut
from hpo.space import Choice, Distribution, Float, Int
from hpo.spec.marks import Spec


def unknown_name(name: str, known: Iterable[str], noun: str = "name") -> str:
    """`unknown name 'tep'. Did you mean 'tpe'? Known names: gp, random, tpe.`"""
    names = sorted(known)
    close = difflib.get_close_matches(cut(name), names)
    # Of names that are as close, one of the same letters is meant: they were swapped.
    close.sort(key=lambda one: sorted(one) != sorted(name))
    guess = f" Did you mean '{close[0]}'?" if close else ""
    return f"unknown {noun} '{cut(name)}'.{guess} Known {noun}s: {', '.join(names)}."


def shown(value: Any) -> str:
    """A value as YAML would have it, cut short: `'rellu'`, `[64, 64]`, `null`."""
    return cut(_flow(value))


def count_text(number: int, noun: str) -> str:
    """A number of things: `1 trial`, `80 trials`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def range_of(distribution: Distribution) -> str:
    """The values of a distribution, to be written instead of another: `8 to 64 in steps of 8`."""
    if isinstance(distribution, Choice):
        return any_of(distribution.values)
    return f"{distribution.low} to {distribution.high}{steps_of(distribution)}"


def steps_of(distribution: Float | Int) -> str:
    """The steps of a range, to go behind it: ` in steps of 8`."""
    is_plain = distribution.step is None or (
        isinstance(distribution, Int) and distribution.step == 1
    )
    return "" if is_plain else f" in steps of {shown(distribution.step)}"


def any_of(values: Sequence[Any]) -> str:
    """Values one of which is meant: `'sgd' or 'adam'`."""
    return " or ".join(shown(value) for value in values)


def described(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """The values that a field of this type takes: `a number from 0 to below 1`."""
    if get_origin(annotation) is Annotated:
        inner, *outer = get_args(annotation)
        return described(inner, [*outer, *metadata])
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(described(member) for member in get_args(annotation))
    if get_origin(annotation) is Literal:
        names = [shown(name).strip("'") for name in get_args(annotation)]
        return _either(names)
    if get_origin(annotation) in (tuple, list):
        members = get_args(annotation)
        item = described(members[0]).removeprefix("a ")
        plural = {"list": "lists", "number": "numbers", "mapping": "mappings"}
        word = next((word for word in plural if word in item), None)
        item = item.replace(word, plural[word], 1) if word else item
        is_fixed = len(members) > 1 and members[1] is not Ellipsis
        return f"a list of {len(members)} {item}" if is_fixed else f"a list of {item}"
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return f"{{{next(iter(annotation.model_fields))}: ...}}"
    if annotation in (int, float):
        return _number(annotation, metadata)
    if get_origin(annotation) in (dict, Mapping):
        return "a mapping"
    plain = {str: "text", bool: "true or false", type(None): "null"}
    return plain.get(annotation, "another value")


def wrong_value(value: Any, annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """`cannot be 2: write a number from 0 to below 1`."""
    wanted = described(annotation, metadata)
    if isinstance(value, str):
        names = [name for name in _literals(annotation) if isinstance(name, str)]
        if names and get_origin(annotation) is Literal:
            return unknown_name(value, names)
        if "number" in wanted and _is_number(value):
            return f"cannot be the text {shown(value)}: write {wanted}, without quotes"
        close = difflib.get_close_matches(value, names, n=1)
        if close:
            return f"cannot be {shown(value)}. Did you mean '{close[0]}'? Write {wanted}"
    return f"cannot be {shown(value)}: write {wanted}"


def _number(annotation: type, metadata: Sequence[Any]) -> str:
    noun = "a whole number" if annotation is int else "a number"
    low = high = ""
    for item in _flat(metadata):
        if isinstance(item, annotated_types.Ge):
            low = f"at least {item.ge}"
        elif isinstance(item, annotated_types.Gt):
            low = f"above {item.gt}"
        elif isinstance(item, annotated_types.Le):
            high = f"at most {item.le}"
        elif isinstance(item, annotated_types.Lt):
            high = f"below {item.lt}"
    if low.startswith("at least") and high:
        return f"{noun} from {low.removeprefix('at least ')} to {high.removeprefix('at most ')}"
    bounds = " and ".join(bound for bound in (low, high) if bound)
    if not bounds:
        return noun
    return f"{noun} {bounds}" if low.startswith("above") else f"{noun} of {bounds}"


def _flat(metadata: Iterable[Any]) -> Iterable[Any]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _flat(item.metadata)
        else:
            yield item


def _literals(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [name for member in get_args(annotation) for name in _literals(member)]


def _either(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _flow(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_flow(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_flow(inner) for inner in value)}]"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)
