"""Marks on the fields of a spec: what recompiles and what is a mere number to a program.

`Static[T]` fields shape the compiled program: another value is another program. `Knob[T]` fields
are plain numbers that a program takes as arrays, one element a lane: another value compiles
nothing (None, where a knob allows it, takes the part out of the program and so is static).
`Host[T]` fields are read on the host alone and never reach a program. Fields without a mark steer
the study and cannot vary within it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field


class Mark(Enum):
    """What a field means to the compiler."""

    STATIC = "static"
    KNOB = "knob"
    HOST = "host"


T = TypeVar("T")
Static = Annotated[T, Mark.STATIC]
Knob = Annotated[T, Mark.KNOB]
Host = Annotated[T, Mark.HOST]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# A share of a whole that may be none of it but never all of it, such as a dropout rate.
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Sizes = Annotated[tuple[Count, ...], Field(min_length=1, strict=False)]


class Spec(BaseModel):
    """A frozen part of an experiment; unknown keys and look-alike types are refused."""

    # A class is built when it is first used, so that registries may still grow after its import.
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True, defer_build=True
    )


@cache
def mark_of(spec: type[Spec], field: str) -> Mark | None:
    """The mark of a field, or None where it steers the study."""
    marks = [item for item in spec.model_fields[field].metadata if isinstance(item, Mark)]
    return marks[0] if marks else None


def marked_leaves(spec: Spec, prefix: str = "") -> Iterator[tuple[str, Mark, Any]]:
    """The marked leaves below `spec` as (dotted path, mark, value), in the order of the fields."""
    for name in type(spec).model_fields:
        value, path = getattr(spec, name), f"{prefix}{name}"
        if isinstance(value, Spec):
            yield from marked_leaves(value, f"{path}.")
        elif (mark := mark_of(type(spec), name)) is not None:
            yield path, mark, value


def leaf_at(spec: Spec, path: str) -> Any:
    """The leaf, or the part, at a dotted path.

    Raises:
        AttributeError: where there is none.
    """
    value: Any = spec
    for name in path.split("."):
        value = getattr(value, name)
    return value


def has_leaf(spec: Spec, path: str) -> bool:
    """Whether a spec has a leaf, or a part, at a dotted path."""
    try:
        leaf_at(spec, path)
    except AttributeError:
        return False
    return True


def with_leaves(spec: T, leaves: Mapping[str, Any]) -> T:
    """`spec` with the leaves at these dotted paths replaced, unchecked: traced arrays may go in."""
    below: dict[str, dict[str, Any]] = {}
    update: dict[str, Any] = {}
    for path, value in leaves.items():
        name, _, rest = path.partition(".")
        if rest:
            below.setdefault(name, {})[rest] = value
        else:
            update[name] = value
    for name, inner in below.items():
        update[name] = with_leaves(getattr(spec, name), inner)
    return spec.model_copy(update=update)  # type: ignore[attr-defined,no-any-return]
