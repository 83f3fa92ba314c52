"""A section that names code of a user's own: `loss: {python: losses.py:focal, gamma: 2.0}`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import Field

from hpo.spec.code.leaves import leaves_class
from hpo.spec.code.reference import Code
from hpo.spec.code.signature import COMPUTED, REQUIRED, Argument, Signature, read_code, signature_of
from hpo.spec.file.document import KeyPath, Mistake
from hpo.spec.marks import Mark, Spec
from hpo.spec.words import unknown_name

# The names that an annotation may give a number: `rate: Annotated[float, "static"]`.
_ROLES = ("static", "knob")


@dataclass(frozen=True)
class Own:
    """Where code of a user's own is; `trouble` says why it cannot be read.

    hpo gives it its first `placed` arguments. `assumed` are the numbers that become knobs if the
    code lets them. `whole` are the knobs that it takes as whole numbers. `asked` are the hashes of
    its file that a spec asks for, where no section of the code's own holds one.
    """

    code: Code | None = None
    trouble: str = ""
    placed: int = 0
    assumed: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()

    @cached_property
    def signature(self) -> Signature:
        """The arguments that a spec may give it."""
        if self.code is None:
            return Signature((), 0, self.trouble)
        found = signature_of(self.code)
        return replace(found, arguments=found.arguments[self.placed :])


class OwnCode(Spec):
    """Code of a user's own, and the arguments that the spec gives it.

    hpo gives it its first `placed` arguments, and those of the names `named` unless the spec does.
    """

    own: ClassVar[Own] = Own()
    placed: ClassVar[int] = 0
    named: ClassVar[Mapping[str, str]] = {}

    python: str
    """The code: a file and a name in it, `losses.py:focal`, or `package.module:name`."""
    sha256: str = ""
    """The hash of the file, where the spec is of no use with another version of it."""


class CompiledCode(OwnCode):
    """Code of a user's own that is a part of compiled programs.

    Its numbers with a fraction are knobs where it takes traced ones, its other arguments static.
    """

    static: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Numbers that stay Python numbers: each value of one is a program of its own."""
    knobs: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Numbers that are traced, so that their values share a program, whole numbers included."""


C = TypeVar("C", bound=OwnCode)


def names_code(written: Any) -> bool:
    """Whether a section of a document names code of the user's."""
    return isinstance(written, Mapping) and isinstance(written.get("python"), str)


def varied_in(values: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The entries of a document's space for the leaves of a section, by the leaves' names."""
    space, prefix = values.get("space"), f"{'.'.join(path)}."
    return {
        name: entry
        for key, entry in (space.items() if isinstance(space, Mapping) else ())
        if isinstance(key, str)
        and key.startswith(prefix)
        and "." not in (name := key.removeprefix(prefix))
    }


def code_class(
    parent: type[C], written: Mapping[str, Any], varied: Mapping[str, Any], folder: Path
) -> type[C]:
    """The spec class of a section that names code: `parent`, with a leaf for each argument.

    `varied` are the entries of the space by the names of the leaves. It is the same class for equal
    code and equal kinds of leaves. It takes every key that is written, because the code of a stored
    study may be missing or another one: see `section_mistakes`. No code of the user's runs.
    """
    keys = {key for key in (*written, *varied) if key.isidentifier()} - {*_reserved(parent)}
    floats = {
        key for key in keys if _is_float(written.get(key)) or _is_float_entry(varied.get(key))
    }
    roles = {
        name: role
        for key, role in (("knobs", "knob"), ("static", "static"))
        if key in parent.model_fields
        for name in _names(written.get(key))
    }
    own = Own(*read_code(written["python"], folder), parent.placed)
    kinds = tuple(sorted(keys)), frozenset(floats), tuple(sorted(roles.items()))
    made: Any = _class(parent, own, *kinds)
    return made  # type: ignore[no-any-return]


def section_mistakes(
    path: KeyPath, written: Mapping[str, Any], varied: Mapping[str, Any], kind: Any
) -> Iterator[Mistake]:
    """What is wrong with a section at a path that names code."""
    own: Own = kind.own
    if own.trouble:
        yield Mistake((*path, "python"), own.trouble)
        return
    assert own.code is not None
    parent = kind.__base__
    names = [argument.name for argument in own.signature.arguments]
    for argument in own.signature.arguments:
        where = f"{own.code.file.name}:{argument.line}"
        if argument.name in _reserved(parent):
            text = f"{where} has an argument {argument.name}, which is a key of hpo: rename it"
            yield Mistake((*path, "python"), text)
        elif argument.default is REQUIRED and argument.name not in (*written, *parent.named):
            text = f"is missing: {own.code.text} needs it ({where})"
            yield Mistake((*path, argument.name), text)
    for key, role in (("static", ()), ("knobs", _names(written.get("static")))):
        for name in _names(written.get(key)) if key in parent.model_fields else ():
            if name not in kind.model_fields or name in parent.model_fields:
                yield Mistake((*path, key), unknown_name(name, names, "argument"))
            elif name in role:
                text = f"names {name}, as static does: name it in one of them"
                yield Mistake((*path, key), text)
    if own.signature.unchecked:
        return
    known = {*names, *parent.model_fields}
    # A reader of the message may set these; hpo gives the others.
    free = [name for name in names if name not in parent.named]
    for key in written:
        if key not in known:
            keys = [*free, *(n for n in parent.model_fields if n not in ("python", "sha256"))]
            yield Mistake((*path, key), unknown_name(key, keys, "argument"))
    for key in varied:
        if key not in known:
            at = ("space", ".".join(map(str, (*path, key))))
            yield Mistake(at, unknown_name(key, free, "argument"))


def arguments_of(section: OwnCode) -> dict[str, Any]:
    """The arguments that a spec gives its code, as their author expects them."""
    signature, found = section.own.signature, {}
    parent: Any = type(section).__base__
    for name in type(section).model_fields:
        if name in parent.model_fields:
            continue
        value = getattr(section, name)
        known = signature[name].default if name in signature else COMPUTED
        if value is None and known in (REQUIRED, COMPUTED):
            continue  # nobody gives it
        found[name] = list(value) if type(known) is list and type(value) is tuple else value
    return found


def code_sections(training: Spec) -> Iterator[tuple[str, Any]]:
    """The sections of a training that name code: their paths in the spec, and their specs."""
    for name in type(training).model_fields:
        section = getattr(training, name)
        if getattr(section, "own", None) is not None:
            yield name, section
        elif isinstance(section, Spec):
            yield from ((f"{name}.{path}", part) for path, part in code_sections(section))


@cache
def _class(
    parent: type[OwnCode],
    own: Own,
    keys: tuple[str, ...],
    floats: frozenset[str],
    roles: tuple[tuple[str, str], ...],
) -> type[OwnCode]:
    signature = own.signature
    said = {one.name: _without_role(one.annotation)[1] for one in signature.arguments} | dict(roles)
    hidden = [Argument(key, "", COMPUTED, 0) for key in keys if key not in signature]
    taken = tuple(_plain(one, one.name in floats) for one in (*signature.arguments, *hidden))
    assumed: list[str] = []
    whole: list[str] = []

    def mark(argument: Argument, kind: Any) -> Mark | None:
        if not issubclass(parent, CompiledCode):
            return None
        role = said.get(argument.name, "")
        numbers = {*(get_args(kind) or (kind,))} - {type(None)}
        if numbers == {int} and role == "knob":
            whole.append(argument.name)
            return Mark.KNOB
        if numbers not in ({float}, {int, float}) or role == "static":
            return Mark.STATIC
        if not role:
            assumed.append(argument.name)
        return Mark.KNOB

    given = (*(name for name in parent.named if name not in keys), *_reserved(parent))
    made = leaves_class(parent, replace(signature, arguments=taken), mark, given)
    made.own = replace(
        own,
        trouble=own.trouble or _too_few(own),
        assumed=tuple(assumed),
        whole=tuple(whole),
    )
    return made


def _too_few(own: Own) -> str:
    """What is wrong with code that takes fewer arguments than hpo gives it; empty for nothing."""
    if own.code is None:
        return ""
    whole = signature_of(own.code)
    if len(whole.arguments) >= own.placed or whole.unchecked:
        return ""
    where = f"{own.code.file.name}:{whole.line}"
    return f"takes fewer than the {own.placed} arguments that hpo gives it ({where}): add them"


def _reserved(parent: type[OwnCode]) -> tuple[str, ...]:
    """The names that no argument may have, because hpo reads the section under them."""
    return (*parent.model_fields, "own")


def _plain(argument: Argument, is_float: bool) -> Argument:
    """An argument whose annotation names a type alone, and which a stored spec may lack."""
    annotation, default = _without_role(argument.annotation)[0], argument.default
    is_number = default in (REQUIRED, COMPUTED, None) or type(default) is int
    if not annotation and is_float and is_number:
        annotation = "float | None" if default is None else "float"
    default = COMPUTED if default is REQUIRED else default
    return replace(argument, annotation=annotation, default=default)


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


def _is_float(value: Any) -> bool:
    return isinstance(value, float)


def _is_float_entry(entry: Any) -> bool:
    """Whether the entry of a space gives a leaf numbers with a fraction."""
    if not isinstance(entry, Mapping):
        return _is_float(entry)
    choices = entry.get("choice", [entry.get("value")])
    return "float" in entry or (isinstance(choices, list) and any(map(_is_float, choices)))


def _names(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()
