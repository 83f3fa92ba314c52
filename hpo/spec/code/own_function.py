"""A function of a user's own as a section: `loss: {python: losses.py:focal, gamma: 2.0}`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args

from hpo.spec.code.leaves import leaves_class
from hpo.spec.code.own_model import Own, is_float_entry
from hpo.spec.code.reference import Code
from hpo.spec.code.signature import COMPUTED, REQUIRED, Argument, Signature, read_code, signature_of
from hpo.spec.marks import Mark, Spec
from hpo.spec.words import unknown_name


class OwnFunction(Spec):
    """A function of a user's own, and the arguments that the spec gives it."""

    own: ClassVar[Own]
    python: str
    """The code: a file and a name in it, `losses.py:focal`, or `package.module:name`."""
    sha256: str = ""
    """The hash of the file, where the spec is of no use with another version of it."""


F = TypeVar("F", bound=OwnFunction)


def names_code(written: Any) -> bool:
    """Whether a section of a document names code of the user's."""
    return isinstance(written, Mapping) and isinstance(written.get("python"), str)


def function_class(
    parent: type[F],
    written: Mapping[str, Any],
    varied: Mapping[str, Any],
    folder: Path,
    given: int = 0,
    *,
    is_compiled: bool = False,
) -> type[F]:
    """The spec class of a section that names a function: `parent`, with a leaf for each argument.

    `varied` are the entries of the space by the names of the leaves. It is the same class for equal
    code and equal kinds of leaves. It takes every key that is written, because the code of a stored
    study may be missing or another one: see `function_mistakes`. If the function `is_compiled`, its
    numbers with a fraction are knobs, and its other arguments static.
    """
    keys = {key for key in (*written, *varied) if key.isidentifier()} - {*parent.model_fields}
    floats = {
        key
        for key in keys
        if isinstance(written.get(key), float) or is_float_entry(varied.get(key))
    }
    listed = written.get("static")
    static = tuple(map(str, listed)) if isinstance(listed, list | tuple) else ()
    code, trouble = read_code(written["python"], folder)
    kinds = tuple(sorted(keys)), frozenset(floats), static
    made: Any = _class(parent, code, trouble, given, is_compiled, *kinds)
    return made  # type: ignore[no-any-return]


def function_mistakes(
    path: tuple[str, ...], written: Mapping[str, Any], varied: Mapping[str, Any], kind: Any
) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with a section that names a function, as (key path, sentence)."""
    own: Own = kind.own
    if own.trouble:
        yield (*path, "python"), own.trouble
        return
    assert own.code is not None
    names = [argument.name for argument in own.signature.arguments]
    keys = [name for name in kind.model_fields if name in kind.__base__.model_fields]
    for argument in own.signature.arguments:
        where = f"{own.code.file.name}:{argument.line}"
        if argument.name in (*keys, "own"):
            text = f"{where} has an argument {argument.name}, which is a key of hpo: rename it"
            yield (*path, "python"), text
        elif argument.default is REQUIRED and argument.name not in written:
            yield (*path, argument.name), f"is missing: {own.code.text} needs it ({where})"
    if own.signature.unchecked:
        return
    for key in written:
        if key not in (*names, *keys):
            yield (*path, key), unknown_name(key, [*names, *keys], "argument")
    for key in varied:
        if key not in names:
            yield ("space", ".".join((*path, key))), unknown_name(key, names, "argument")


def arguments_of(section: OwnFunction) -> dict[str, Any]:
    """The arguments that a spec gives its function."""
    own, kind = section.own, type(section)
    parent: Any = kind.__base__
    found: dict[str, Any] = {}
    for name in [name for name in kind.model_fields if name not in parent.model_fields]:
        value = getattr(section, name)
        known = own.signature[name].default if name in own.signature else None
        if value is not None or known is None:  # else nobody gives it
            found[name] = value
    return found


@cache
def _class(
    parent: type[OwnFunction],
    code: Code | None,
    trouble: str,
    given: int,
    is_compiled: bool,
    keys: tuple[str, ...],
    floats: frozenset[str],
    static: tuple[str, ...],
) -> type[OwnFunction]:
    signature = Signature((), 0, trouble) if code is None else signature_of(code)
    if code is not None and len(signature.arguments) < given and not signature.unchecked:
        where = f"{code.file.name}:{signature.line}"
        trouble = f"takes fewer than the {given} arguments that hpo gives it ({where}): add them"
    signature = replace(signature, arguments=signature.arguments[given:])
    taken = tuple(_plain(one, one.name in floats) for one in signature.arguments)
    hidden = tuple(
        Argument(key, "float" if key in floats else "", COMPUTED, 0)
        for key in keys
        if key not in signature
    )
    assumed: list[str] = []

    def mark(argument: Argument, kind: Any) -> Mark | None:
        numbers = {*(get_args(kind) or (kind,))} - {type(None)}
        if not is_compiled:
            return None
        if numbers not in ({float}, {int, float}) or argument.name in static:
            return Mark.STATIC
        assumed.append(argument.name)
        return Mark.KNOB

    with warnings.catch_warnings():
        # An argument may have the name of a method of pydantic, such as `copy`.
        warnings.simplefilter("ignore", UserWarning)
        lenient = replace(signature, arguments=(*taken, *hidden))
        reserved = (*parent.model_fields, "own")
        made: Any = leaves_class(parent.__name__, lenient, mark, reserved, parent=parent)
    made.__doc__ = parent.__doc__
    made.own = Own(code, signature, trouble, tuple(assumed), ())
    return made  # type: ignore[no-any-return]


def _plain(argument: Argument, is_float: bool) -> Argument:
    """An argument that a stored spec may lack; a number with a fraction is one in any case."""
    is_number = argument.default in (REQUIRED, COMPUTED, None) or type(argument.default) is int
    annotation, default = argument.annotation, argument.default
    if not annotation and is_float and is_number:
        annotation = "float | None" if default is None else "float"
    return replace(
        argument, annotation=annotation, default=COMPUTED if default is REQUIRED else default
    )
