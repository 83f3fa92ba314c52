"""The spec class of a user's own code: a leaf for each argument that a spec may give it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, create_model

from hpo.spec.code.signature import COMPUTED, REQUIRED, Argument, Signature
from hpo.spec.marks import Mark, Spec, fixed

# The types of annotations that a leaf can have; anything else takes any plain value.
_TYPES = {"bool": bool, "int": int, "float": float, "str": str}

S = TypeVar("S", bound=Spec)


def leaves_class(
    parent: type[S],
    signature: Signature,
    mark: Callable[[Argument, Any], Mark | None],
    given: Collection[str],
) -> type[S]:
    """A spec class that derives from `parent`, with a leaf for each argument.

    The leaves are hashable: lists become tuples. Arguments that are `given` otherwise, such as
    `rngs`, are no leaves. `mark` tells the mark of a leaf from its argument and type; None for one
    that steers the study.
    """
    found: dict[str, Any] = {}
    for argument in signature.arguments:
        if argument.name in given or argument.name in found:
            continue
        kind = type_of(argument)
        role = mark(argument, kind)
        marks = [*([role] if role else []), *_strictness(kind)]
        marked: Any = Annotated[(kind, *marks)] if marks else kind
        default = ... if argument.default is REQUIRED else argument.default
        found[argument.name] = (marked, None if default is COMPUTED else fixed(default))
    with warnings.catch_warnings():
        # An argument may have the name of a method of pydantic, such as `copy`.
        warnings.simplefilter("ignore", UserWarning)
        return create_model(parent.__name__, __base__=parent, __doc__=parent.__doc__, **found)


def type_of(argument: Argument) -> Any:
    """The type of an argument's leaf: by its annotation, or else by its default."""
    parts = [part.strip() for part in argument.annotation.split("|")]
    kinds = [_TYPES[part] for part in parts if part in _TYPES]
    if kinds and len(kinds) == len([part for part in parts if part != "None"]):
        kind: Any = kinds[0]
        for other in kinds[1:]:
            kind = kind | other
        takes_none = "None" in parts or argument.default is None or argument.default is COMPUTED
        return kind | None if takes_none else kind
    default = argument.default
    if not argument.annotation and type(default) in _TYPES.values():
        return type(default)
    return Any


def _strictness(kind: Any) -> list[Any]:
    if kind is Any:
        return [AfterValidator(fixed)]
    return [Field(allow_inf_nan=False)] if kind is float else []
