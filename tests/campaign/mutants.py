"""Mutation testing: changes a module in one place, and counts the changes that its tests miss.

    python -m tests.campaign.mutants fill rungs
    python -m tests.campaign.mutants lease --count 40 --seed 1

Each mutant is written into a copy of the checkout, where the module's own test file runs in a
forked copy of a process that has imported the libraries. Survivors are listed with their lines.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from tests.checkout import ROOT, files

MODULES = {
    "lease": "study/storage/lease",
    "events": "study/log/events",
    "checkpoints": "study/storage/checkpoints",
    "rungs": "search/schedulers/rungs",
    "fill": "spec/fill",
}
_LIBRARIES = ("numpy", "jax", "optuna", "sqlalchemy", "pydantic", "yaml", "pytest", "hypothesis")
_COMPARED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_COMBINED = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}


class Change(NamedTuple):
    """One change of a module: its line, what it does, and the module's text with it."""

    line: int
    what: str
    text: str


def changes(text: str) -> list[Change]:
    """All changes of a module's text, in the order of its lines."""
    tree = ast.parse(text)
    found = []
    for number, node in enumerate(_code(tree)):
        for new, what in _replacements(node):
            changed = copy.deepcopy(tree)
            old = next(n for i, n in enumerate(_code(changed)) if i == number)
            _Replace(old, new).visit(changed)
            line = getattr(node, "lineno", 0)
            found.append(Change(line, what, ast.unparse(ast.fix_missing_locations(changed))))
    return sorted(found, key=lambda change: change.line)


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self._new if node is self._old else self.generic_visit(node)


def _code(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that do something: no annotations, docstrings, imports or parts of messages."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST):
                continue
            is_text = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if is_text or isinstance(child, ast.Import | ast.ImportFrom | ast.JoinedStr):
                continue
            yield child
            yield from _code(child)


def _replacements(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """The nodes that a node may be replaced by, with a description of each."""
    match node:
        case ast.Compare(left, [operator], right) if type(operator) in _COMPARED:
            new = _COMPARED[type(operator)]
            yield ast.Compare(left, [new()], right), f"{type(operator).__name__} is {new.__name__}"
        case ast.BinOp(left, operator, right) if type(operator) in _COMBINED:
            new = _COMBINED[type(operator)]
            yield ast.BinOp(left, new(), right), f"{type(operator).__name__} is {new.__name__}"
        case ast.BoolOp(operator, values):
            new = ast.And if isinstance(operator, ast.Or) else ast.Or
            yield ast.BoolOp(new(), values), f"{new.__name__.lower()} in its place"
        case ast.UnaryOp(ast.Not(), operand):
            yield operand, "not is left out"
        case ast.Constant(value) if isinstance(value, bool):
            yield ast.Constant(not value), f"{value} is {not value}"
        case ast.Constant(value) if isinstance(value, int | float):
            yield ast.Constant(value + 1), f"{value} is {value + 1}"
        case ast.Constant(value) if isinstance(value, str) and value:
            yield ast.Constant(f"{value}!"), f"{value!r:.30} is another text"
        case ast.Return(value) if value is not None and not _is_none(value):
            yield ast.Return(ast.Constant(None)), "gives None"
        case ast.If(test, body, orelse) if not _is_for_types(test):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse), "the condition is turned"
        case ast.IfExp(test, body, orelse):
            yield ast.IfExp(ast.UnaryOp(ast.Not(), test), body, orelse), "the condition is turned"
        case ast.Expr(ast.Call()) | ast.AugAssign() | ast.Raise() | ast.Delete():
            yield ast.Pass(), f"{ast.unparse(node):.40} is left out"


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _is_for_types(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


class Checkout:
    """A copy of the checkout, in which the tests of a module run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path in files():
            if path.parts[0] in ("hpo", "tests", "search_spaces", "configs", "pyproject.toml"):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / path, folder / path)

    def passes(self, module: str, text: str, seconds: float) -> bool:
        """Whether the tests of a module pass within that time, with this text in its place."""
        path = self.folder / "hpo" / f"{module}.py"
        old = path.read_text()
        path.write_text(text)
        room, _, name = module.rpartition("/")
        child = os.fork()
        if child == 0:
            self._test(f"tests/{room}/test_{name}.py", seconds)
        status = _wait(child, seconds)
        path.write_text(old)
        return status == 0

    def _test(self, file: str, seconds: float) -> None:
        code = 1
        try:
            os.setpgid(0, 0)
            # The limit also ends a mutant that goes round in circles in C.
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 1))
            os.chdir(self.folder)
            null = os.open(os.devnull, os.O_RDWR)
            for number in range(3):
                os.dup2(null, number)
            os.environ["PYTHONPATH"] = str(self.folder)
            sys.path[:] = [str(self.folder), *(p for p in sys.path if p not in ("", str(ROOT)))]
            for name in [n for n in sys.modules if n.split(".")[0] in ("hpo", "tests")]:
                del sys.modules[name]
            # A mutant of the same second and size would pass for the one whose bytecode is kept.
            sys.dont_write_bytecode = True
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
            import pytest

            options = (
                "-x",
                "-q",
                "--assert=plain",
                "-p",
                "no:cacheprovider",
                "--basetemp",
                f"{self.folder}/tmp",
            )
            code = int(pytest.main([*options, file]))
        finally:
            os._exit(code)


def _wait(child: int, seconds: float) -> int:
    """The exit code of a child; 1 if it needs longer, with all that it has started."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 1


def tried(
    checkout: Checkout, name: str, count: int, rng: random.Random, say: Callable[[str], None]
) -> str:
    """A row of the table: how many of the mutants of a module its tests have found."""
    module = MODULES[name]
    text = (ROOT / "hpo" / f"{module}.py").read_text()
    began = time.monotonic()
    if not checkout.passes(module, text, 300):
        raise SystemExit(f"the tests of {name} fail as they are")
    patience = 10 + 5 * (time.monotonic() - began)
    found = changes(text)
    chosen = found if count >= len(found) else rng.sample(found, count)
    survivors = [c for c in chosen if checkout.passes(module, c.text, patience)]
    for change in sorted(survivors):
        say(f"hpo/{module}.py:{change.line}: {change.what}")
    share = len(survivors) / max(len(chosen), 1)
    return f"| `{name}` | {len(found)} | {len(chosen)} | {len(survivors)} | {share:.0%} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.campaign.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(MODULES))
    parser.add_argument("--count", type=int, default=sys.maxsize, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if unknown := set(arguments.modules) - MODULES.keys():
        parser.error(f"no module {sorted(unknown)[0]!r}: there are {', '.join(MODULES)}")
    for library in _LIBRARIES:
        import_module(library)
    with tempfile.TemporaryDirectory() as folder:
        checkout = Checkout(Path(folder))
        print("| module | mutants | tried | survivors | share |\n|---|---|---|---|---|")
        for name in arguments.modules or MODULES:
            rng = random.Random(f"{arguments.seed} {name}")
            row = tried(checkout, name, arguments.count, rng, lambda s: print(s, file=sys.stderr))
            print(row, flush=True)


if __name__ == "__main__":
    main()
