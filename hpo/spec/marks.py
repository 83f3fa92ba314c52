"""Marks on the fields of a spec: which values recompile, and which are numbers of a program.

`Static[T]` fields shape the compiled program: another value is another program. `Knob[T]` fields
are plain numbers that a program takes as arrays, one element a lane: another value compiles
nothing. A knob that is None takes its part out of the program, so None is static.
`Host[T]` fields are read on the host alone and never reach a program. `Shorthand[T]` fields are
another way to write a static field beside them, which alone reaches a program. Fields without a
mark steer the study and cannot vary within it.

A `Merge` mark beside it says how one program serves several values of the field. A field without
one is not merged. `Names` lists what a text may be. `ReadWhere` says where a field has an effect,
`NeedsWhere` what one of its values needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hpo.registry import Need


class Mark(Enum):
    """The role of a field in a compiled program."""

    STATIC = "static"
    KNOB = "knob"
    HOST = "host"
    SHORTHAND = "shorthand"


class Merge(Enum):
    """How one program serves several values of a field."""

    ROWS = "rows"  # a batch comes in equal parts, whose size divides every batch size
    SIZE = "size"  # arrays are as large as the largest value asks for
    BRANCH = "branch"  # the program has code of its own for each value


@dataclass(frozen=True)
class Names:
    """Marks a text that is one of the `known` names, for the JSON Schema and for completion.

    They are asked for when they are needed, because registries may grow. It checks nothing. With
    `or_code` the value may also be `{python: metrics.py:top3}`.
    """

    known: Callable[[], Iterable[str]]
    or_code: bool = False

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        names: dict[str, Any] = {"enum": list(self.known())}
        if not self.or_code:
            return names
        code = {
            "type": "object",
            "properties": {"python": {"type": "string"}, "sha256": {"type": "string"}},
            "required": ["python"],
            "additionalProperties": False,
        }
        return {"anyOf": [names, code]}


@dataclass(frozen=True)
class ReadWhere:
    """The field has an effect only where the field `other` beside it has one of `values`."""

    other: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class NeedsWhere:
    """The value `value` of the field needs these of `hpo.entries.NEEDS`."""

    value: str
    needs: tuple[Need, ...]


T = TypeVar("T")
Static = Annotated[T, Mark.STATIC]
Knob = Annotated[T, Mark.KNOB]
Host = Annotated[T, Mark.HOST]
Shorthand = Annotated[T, Mark.SHORTHAND]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# A share of a whole that may be none of it but never all of it, such as a dropout rate.
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Sizes = Annotated[tuple[Count, ...], Field(min_length=1, strict=False)]


def _rising(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] >= ends[1]:
        raise ValueError("does not rise: write the lower end first, such as [-1, 1]")
    return ends


_End = Annotated[float, Field(allow_inf_nan=False)]
Range = Annotated[tuple[_End, _End], Field(strict=False), AfterValidator(_rising)]


class Spec(BaseModel):
    """A frozen part of an experiment; unknown keys and look-alike types are refused."""

    # Whether what stands below may vary in a study.
    may_vary: ClassVar[bool] = True
    # What is wrong with any other key, where a document chooses the keys itself.
    no_such_key: ClassVar[str] = ""
    # A class is built when it is first used, so that registries may still grow after its import.
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True, defer_build=True
    )


class Fixed(dict[Any, Any]):
    """A mapping that is never changed, so that it can be hashed."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(sorted(self.items(), key=repr)))


def fixed(value: Any) -> Any:
    """A plain value as one that can be hashed: lists as tuples, mappings as `Fixed`."""
    if isinstance(value, list | tuple):
        return tuple(map(fixed, value))
    if isinstance(value, Mapping):
        return Fixed({key: fixed(inner) for key, inner in value.items()})
    return value


@cache
def mark_of(spec: type[Spec], field: str) -> Mark | None:
    """The mark of a field, or None where it steers the study."""
    marks = [item for item in spec.model_fields[field].metadata if isinstance(item, Mark)]
    return marks[0] if marks else None


@cache
def merge_of(spec: type[Spec], field: str) -> Merge | None:
    """How one program serves several values of a field, or None where it is not merged."""
    marks = [item for item in spec.model_fields[field].metadata if isinstance(item, Merge)]
    return marks[0] if marks else None


@cache
def read_where(spec: type[Spec], field: str) -> ReadWhere | None:
    """Where a field has an effect, or None where it always has."""
    marks = [item for item in spec.model_fields[field].metadata if isinstance(item, ReadWhere)]
    return marks[0] if marks else None


def parts_of(value: Any) -> Mapping[str, Any] | None:
    """The parts of a list or mapping of specs, by index or key; None for any other value."""
    if isinstance(value, tuple) and any(isinstance(item, Spec) for item in value):
        return {str(index): item for index, item in enumerate(value)}
    if isinstance(value, Mapping) and any(isinstance(item, Spec) for item in value.values()):
        return value
    return None


def marked_leaves(spec: Spec, prefix: str = "") -> list[tuple[str, Mark, Any]]:
    """The marked leaves below `spec` as (dotted path, mark, value), in the order of the fields.

    A part of a list stands below its index, as in `steps.0.rate`.
    """
    found: list[tuple[str, Mark, Any]] = []
    _add_leaves(spec, prefix, found)
    return found


def _add_leaves(spec: Spec, prefix: str, found: list[tuple[str, Mark, Any]]) -> None:
    for name, mark in _marks(type(spec)):
        value = getattr(spec, name)
        if isinstance(value, Spec):
            _add_leaves(value, f"{prefix}{name}.", found)
        elif mark is not None:
            found.append((f"{prefix}{name}", mark, value))
        elif isinstance(value, tuple | Mapping):
            for key, part in (parts_of(value) or {}).items():
                if isinstance(part, Spec):
                    _add_leaves(part, f"{prefix}{name}.{key}.", found)


@cache
def _marks(spec: type[Spec]) -> tuple[tuple[str, Mark | None], ...]:
    """The fields of a spec with their marks; none where nothing below may vary."""
    return tuple((name, mark_of(spec, name)) for name in spec.model_fields if spec.may_vary)


def leaf_at(spec: Spec, path: str) -> Any:
    """The leaf, or the part, at a dotted path.

    Raises:
        AttributeError: where there is none.
    """
    value: Any = spec
    for name in path.split("."):
        parts = None if isinstance(value, Spec) else parts_of(value)
        if parts is None:
            value = getattr(value, name)
        elif name in parts:
            value = parts[name]
        else:
            raise AttributeError(path)
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
        update[name] = with_leaves(leaf_at(spec, name), inner)  # type: ignore[arg-type]
    if isinstance(spec, Spec):
        return spec.model_copy(update=update)
    parts = {**(parts_of(spec) or {}), **update}
    return tuple(parts.values()) if isinstance(spec, tuple) else parts  # type: ignore[return-value]
