"""What each spec class and each of its fields is for, in the words of its own docstrings.

The text below a field is its docstring. Python does not keep it, so it is read from the source, and
only when it is asked for.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache

from hpo.spec.marks import Spec


def description_of(spec: type[Spec], field: str) -> str:
    """What a field is for; empty where its class does not say."""
    for owner in spec.__mro__:
        if text := _field_docstrings(owner.__module__).get((owner.__name__, field)):
            return text
    return spec.model_fields[field].description or ""


def summary_of(spec: type[Spec]) -> str:
    """What a spec class is: its docstring, as one paragraph."""
    return " ".join((spec.__doc__ or "").split())


@cache
def _field_docstrings(module: str) -> dict[tuple[str, str], str]:
    """The docstring of each annotated field in a module, by class and field."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError):  # a module without a source
        return {}
    found = {}
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        for field, below in zip(node.body, node.body[1:], strict=False):
            match field, below:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    found[node.name, name] = " ".join(text.split())
    return found
