"""What a class or function of a user's own takes, read from its source without running it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hpo.spec.code.reference import Code, find_code

# The default of an argument that has none, and of one whose default is no literal.
REQUIRED, COMPUTED = object(), object()
# Base classes whose annotated fields are the arguments of their constructor, by their last name.
_FIELDS_ARE_ARGUMENTS = ("NamedTuple",)
_WITH_FIELDS = ("flax.linen", "equinox")
_LINEN_OR_EQUINOX = ("linen.Module", "nn.Module", "eqx.Module", "equinox.Module")


@dataclass(frozen=True)
class Argument:
    """An argument: its annotation as written ("" for none), its default and its line."""

    name: str
    annotation: str
    default: Any
    line: int


@dataclass(frozen=True)
class Signature:
    """The arguments of a call; `unchecked` says why there may be others, and is empty if not."""

    arguments: tuple[Argument, ...]
    line: int
    unchecked: str = ""

    def __getitem__(self, name: str) -> Argument:
        return next(argument for argument in self.arguments if argument.name == name)

    def __contains__(self, name: str) -> bool:
        return any(argument.name == name for argument in self.arguments)


def read_code(text: str, folder: Path, *reads: Callable[[Code], object]) -> tuple[Code | None, str]:
    """The code that a spec in `folder` names, if it can be read; else None and the reason.

    `reads` are functions that must be able to read it, beside `signature_of`. Nothing runs.
    """
    try:
        code = find_code(text, folder)
        for read in (signature_of, *reads):
            read(code)
    except (ValueError, OSError) as error:
        return None, str(error)
    return code, ""


def signature_of(code: Code) -> Signature:
    """What the code takes: the arguments of a function, or of a class's constructor.

    Raises:
        ValueError: for a file that is not Python, or has no class or function of that name.
    """
    tree = _parsed(code)
    found = _definition(code, tree)
    if isinstance(found, ast.ClassDef):
        return _constructor(found, tree)
    return _arguments(found, is_method=False)


def literals_of(code: Code) -> Mapping[str, Any]:
    """The names that a class gives literal values: `steps = 100` in its body.

    Raises:
        ValueError: for a file that is not Python, or has no class of that name.
    """
    found = _definition(code, _parsed(code))
    if not isinstance(found, ast.ClassDef):
        raise ValueError(f"{code.name} in {code.file} is a function: name a class")
    values: dict[str, Any] = {}
    for name, value, _ in _assigned(found):
        literal = _literal(value)
        if literal not in (REQUIRED, COMPUTED):
            values[name] = literal
    return values


def methods_of(code: Code) -> frozenset[str]:
    """The methods that a class, or a base class of it in the same file, defines.

    Raises:
        ValueError: for a file that is not Python, or has no class of that name.
    """
    tree = _parsed(code)
    found = _definition(code, tree)
    names = {name for one in _lineage(found, tree) for name in _functions(one)}
    return frozenset(names)


@cache
def _parsed(code: Code) -> ast.Module:
    try:
        return ast.parse(code.source(), str(code.file))
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ValueError(f"{code.file}{line} is not Python: {error}") from None


def _definition(code: Code, tree: ast.Module) -> ast.ClassDef | ast.FunctionDef:
    """The class or function of that name: the last one, as Python has it."""
    body: list[ast.stmt] = tree.body
    found: Any = None
    for part in code.name.split("."):
        found = next(
            (
                one
                for one in reversed(body)
                if isinstance(one, ast.ClassDef | ast.FunctionDef) and one.name == part
            ),
            None,
        )
        if found is None:
            names = [n.name for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef)]
            known = f"it defines {', '.join(names)}" if names else "it defines nothing"
            raise ValueError(f"{code.file} has no class or function {code.name}: {known}")
        body = found.body
    return found  # type: ignore[no-any-return]


def _lineage(found: ast.ClassDef | ast.FunctionDef, tree: ast.Module) -> Iterator[ast.ClassDef]:
    """A class and its base classes in the same file, in the order of inheritance."""
    if not isinstance(found, ast.ClassDef):
        return
    yield found
    for base in found.bases:
        for other in tree.body:
            is_it = isinstance(other, ast.ClassDef) and ast.unparse(base) == other.name
            if is_it and other is not found:
                yield from _lineage(other, tree)  # type: ignore[arg-type]


def _functions(one: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    return {part.name: part for part in one.body if isinstance(part, ast.FunctionDef)}


def _constructor(found: ast.ClassDef, tree: ast.Module) -> Signature:
    for one in _lineage(found, tree):
        if "__init__" in _functions(one):
            return _arguments(_functions(one)["__init__"], is_method=True)
        if _has_fields(one, tree):
            fields = tuple(
                Argument(name, ast.unparse(annotation), _literal(value), value_line)
                for name, value, annotation, value_line in _fields(one)
            )
            return Signature(fields, one.lineno)
    bases = ", ".join(ast.unparse(base) for base in found.bases)
    if not bases:
        return Signature((), found.lineno)
    return Signature((), found.lineno, f"{found.name} inherits its constructor from {bases}")


def _has_fields(one: ast.ClassDef, tree: ast.Module) -> bool:
    """Whether the annotated fields of a class are the arguments of its constructor."""
    modules = {
        name.asname or name.name
        for part in tree.body
        if isinstance(part, ast.ImportFrom) and part.module in _WITH_FIELDS
        for name in part.names
        if name.name == "Module"
    }
    bases = [ast.unparse(base) for base in one.bases]
    decorators = [ast.unparse(decorator).partition("(")[0] for decorator in one.decorator_list]
    return (
        any(name.rpartition(".")[2] == "dataclass" for name in decorators)
        or any(base.rpartition(".")[2] in _FIELDS_ARE_ARGUMENTS for base in bases)
        or any(base in modules or base.endswith(_LINEN_OR_EQUINOX) for base in bases)
    )


def _fields(one: ast.ClassDef) -> Iterator[tuple[str, ast.expr | None, ast.expr, int]]:
    for part in one.body:
        if not isinstance(part, ast.AnnAssign) or not isinstance(part.target, ast.Name):
            continue
        if not ast.unparse(part.annotation).startswith(("ClassVar", "typing.ClassVar")):
            yield part.target.id, part.value, part.annotation, part.lineno


def _assigned(one: ast.ClassDef) -> Iterator[tuple[str, ast.expr | None, int]]:
    for part in one.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            yield part.target.id, part.value, part.lineno
        elif isinstance(part, ast.Assign):
            for target in part.targets:
                if isinstance(target, ast.Name):
                    yield target.id, part.value, part.lineno


def _arguments(found: ast.FunctionDef, *, is_method: bool) -> Signature:
    given = found.args
    placed = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(placed) - len(given.defaults)) + list(given.defaults)
    pairs = list(zip(placed, defaults, strict=True))[1 if is_method else 0 :]
    pairs += list(zip(given.kwonlyargs, given.kw_defaults, strict=True))
    arguments = tuple(
        Argument(
            one.arg,
            "" if one.annotation is None else ast.unparse(one.annotation),
            _literal(default),
            one.lineno,
        )
        for one, default in pairs
    )
    unchecked = f"{found.name} takes **{given.kwarg.arg}" if given.kwarg else ""
    return Signature(arguments, found.lineno, unchecked)


def _literal(value: ast.expr | None) -> Any:
    if value is None:
        return REQUIRED
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return COMPUTED
