"""The model of a user's own, `model: {python: nets.py:Net, width: 64}`, as a spec class."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args

from pydantic import Field

from hpo.registry import Need
from hpo.spec.code.leaves import leaves_class
from hpo.spec.code.reference import Code
from hpo.spec.code.signature import COMPUTED, REQUIRED, Argument, Signature, read_code, signature_of
from hpo.spec.marks import Mark, Spec
from hpo.spec.words import unknown_name

# The arguments that hpo gives a module by their names, unless the spec does, and what they are.
GIVEN = {
    "rngs": "the random streams",
    "key": "a random key",
    "inputs": "the numbers of an example",
    "in_features": "the numbers of an example",
    "in_channels": "the last size of an example",
    "shape": "the shape of an example",
    "outputs": "the classes, or 1",
    "out_features": "the classes, or 1",
    "classes": "the classes, or 1",
    "num_classes": "the classes, or 1",
    "dtype": "the type of train.precision",
}
_RESERVED = ("python", "static", "knobs", "sha256", "own")
# Its layers may look at a whole batch, as batch norm does.
NEEDS: frozenset[Need] = frozenset({"whole batch"})
# The names that an annotation may give a number: `rate: Annotated[float, "static"]`.
_ROLES = ("static", "knob")


@dataclass(frozen=True)
class Own:
    """Where the code of a model is and what it takes; `trouble` says why it cannot be read.

    `assumed` are the numbers that become knobs if the module lets them. `whole` are the knobs that
    it takes as whole numbers.
    """

    code: Code | None
    signature: Signature
    trouble: str
    assumed: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()


class OwnModel(Spec):
    """A module of a user's own."""

    own: ClassVar[Own]
    python: str
    """The code: a file and a name in it, `nets.py:Net`, or `package.module:Name`."""
    static: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Numbers that stay Python numbers: each value of one is a program of its own."""
    knobs: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Numbers that are traced, so that their values share a program, whole numbers included."""
    sha256: str = ""
    """The hash of the file as an export notes it: `hpo train` refuses another version."""


def own_model(written: Mapping[str, Any], space: Mapping[str, Any], folder: Path) -> type[OwnModel]:
    """The spec class of a model section that names code; it runs nothing.

    It is the same class for equal code and equal kinds of leaves. It takes every key that is
    written, because the code of a stored study may be missing: see `own_mistakes`.
    """
    code, trouble = read_code(written["python"], folder)
    varied = {path.removeprefix("model."): entry for path, entry in space.items() if _is_own(path)}
    keys = (*written, *varied)
    floats = [key for key in keys if _is_float(written.get(key)) or is_float_entry(varied.get(key))]
    return _class(
        written["python"],
        code,
        trouble,
        tuple(dict.fromkeys(key for key in keys if key.isidentifier() and key not in _RESERVED)),
        tuple(dict.fromkeys(floats)),
        _names(written.get("static")),
        _names(written.get("knobs")),
    )


def own_mistakes(
    written: Mapping[str, Any], space: Mapping[str, Any], model: type[OwnModel]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with a model section that names code, as (key path, sentence)."""
    text, own = written["python"], model.own
    if own.trouble:
        yield ("model", "python"), own.trouble
        return
    assert own.code is not None
    where = f"{own.code.file.name}:"
    names = [argument.name for argument in own.signature.arguments]
    for name in names:
        if name in _RESERVED:
            line = own.signature[name].line
            text = f"{where}{line} has an argument {name}, which is a key of hpo: rename it"
            yield ("model", "python"), text
    if not own.signature.unchecked:
        for key in written:
            if key not in (*names, *_RESERVED):
                yield ("model", key), unknown_name(key, names, "argument")
        for path in space:
            if _is_own(path) and path.removeprefix("model.") not in (*names, *_RESERVED):
                yield ("space", path), unknown_name(path.removeprefix("model."), names, "argument")
    for argument in own.signature.arguments:
        if argument.default is REQUIRED and argument.name not in (*written, *GIVEN, *_RESERVED):
            text = f"is missing: {written['python']} needs it ({where}{argument.line})"
            yield ("model", argument.name), text
    for key in ("static", "knobs"):
        for name in _names(written.get(key)):
            if name not in model.model_fields or name in _RESERVED:
                yield ("model", key), unknown_name(name, [*names], "argument")
            elif name in _names(written.get("static")) and key == "knobs":
                yield ("model", key), f"names {name}, as static does: name it in one of them"


@cache
def _class(
    text: str,
    code: Code | None,
    trouble: str,
    keys: tuple[str, ...],
    floats: tuple[str, ...],
    static: tuple[str, ...],
    knobs: tuple[str, ...],
) -> type[OwnModel]:
    signature = Signature((), 0, trouble) if code is None else signature_of(code)
    roles = {one.name: _role(one, static, knobs) for one in signature.arguments}
    hidden = [Argument(key, "", COMPUTED, 0) for key in keys if key not in signature]
    taken = tuple(_plain(one, one.name in floats) for one in (*signature.arguments, *hidden))
    assumed: list[str] = []
    whole: list[str] = []

    def mark(argument: Argument, kind: Any) -> Mark:
        role = roles.get(argument.name) or _role(argument, static, knobs)
        numbers = {*(get_args(kind) or (kind,))} - {type(None)}
        if numbers == {int} and role == "knob":
            whole.append(argument.name)
            return Mark.KNOB
        if numbers != {float} and numbers != {int, float}:
            return Mark.STATIC
        if not role:
            assumed.append(argument.name)
        return Mark.STATIC if role == "static" else Mark.KNOB

    given = (*(name for name in GIVEN if name not in keys), *_RESERVED)
    with warnings.catch_warnings():
        # An argument may have the name of a method of pydantic, such as `copy`.
        warnings.simplefilter("ignore", UserWarning)
        made: Any = leaves_class("OwnModel", Signature(taken, 0), mark, given, parent=OwnModel)
    made.own = Own(code, signature, trouble, tuple(assumed), tuple(whole))
    return made  # type: ignore[no-any-return]


def _plain(argument: Argument, is_float: bool) -> Argument:
    """An argument whose annotation names a type alone, and which a stored spec may lack."""
    annotation = _without_role(argument.annotation)[0]
    is_number = argument.default in (REQUIRED, COMPUTED, None) or type(argument.default) is int
    if not annotation and is_float and is_number:
        annotation = "float | None" if argument.default is None else "float"
    default = COMPUTED if argument.default is REQUIRED else argument.default
    return replace(argument, annotation=annotation, default=default)


def _role(argument: Argument, static: tuple[str, ...], knobs: tuple[str, ...]) -> str:
    """`static` or `knob` where the spec or the annotation decides, else empty."""
    if argument.name in static:
        return "static"
    return "knob" if argument.name in knobs else _without_role(argument.annotation)[1]


def _without_role(annotation: str) -> tuple[str, str]:
    """An annotation without its role, and the role: `Annotated[float, "static"]`."""
    if "Annotated" not in annotation:
        return annotation, ""
    found = ast.parse(annotation, mode="eval").body
    if isinstance(found, ast.Subscript) and isinstance(found.slice, ast.Tuple):
        kind, *marks = found.slice.elts
        named = [mark.value for mark in marks if isinstance(mark, ast.Constant)]
        return ast.unparse(kind), next((str(name) for name in named if name in _ROLES), "")
    return annotation, ""


def _is_own(path: Any) -> bool:
    return isinstance(path, str) and path.startswith("model.") and path.count(".") == 1


def _is_float(value: Any) -> bool:
    return isinstance(value, float)


def is_float_entry(entry: Any) -> bool:
    """Whether the entry of a space gives a leaf numbers with a fraction."""
    if not isinstance(entry, Mapping):
        return _is_float(entry)
    choices = entry.get("choice", [entry.get("value")])
    return "float" in entry or (isinstance(choices, list) and any(map(_is_float, choices)))


def _names(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()
