"""A look at a model of a user's own before it trains: traced abstractly, nothing is computed.

It tells the shapes of the module's arrays, whether its outputs fit the data, and which of its
numbers it can take as traced arrays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from hpo.engine.labels import BLANK
from hpo.engine.models import own
from hpo.engine.models.dropout import Dropout, MaskKey
from hpo.errors import HpoError
from hpo.spec.code.frames import CodeError, telling
from hpo.spec.code.own_code import CompiledCode, arguments_of
from hpo.spec.code.own_model import OwnModel
from hpo.spec.marks import Mark, mark_of, with_leaves

if TYPE_CHECKING:
    from hpo.engine.models.abstract import Shapes

T = TypeVar("T")
E = TypeVar("E", bound=Exception)

_MODEL = "model.python"
# Addresses of functions in the text of a trace.
_ADDRESS = re.compile(r"0x[0-9a-f]+")
_FLATTEN = "the module keeps the shape of an example, so flatten x first: x.reshape(len(x), -1)."
# Enough rows to tell them from other sizes.
_ROWS = 7


class _Look(NamedTuple):
    """The shapes of a module's arrays, of its outputs, and of its variables after a step."""

    state: own.State
    trained: Any
    evaluated: Any
    changed: Any


def tried(where: str, section: CompiledCode, function: Callable[..., T], *args: Any) -> T:
    """The result of a function that runs the code of a section; `where` is its path in the spec.

    Raises:
        CodeError: for an error of the user's own code, or for code that cannot be read.
    """
    own, text = section.own, section.python
    if own.code is None:
        raise CodeError(f"{where}: '{text}': {own.trouble}.")
    # Those of a program are blank or traced, and say nothing.
    given = {name: value for name, value in arguments_of(section).items() if _is_plain(value)}
    with telling(own.code, where, given):
        return function(*args)


def look_at(spec: OwnModel, shapes: Shapes) -> own.State:
    """The shapes of the arrays of a module; blank knobs of its spec are traced.

    Raises:
        CodeError: for an error of the user's own code.
        CodeError: for a module whose outputs do not fit the data.
    """
    looked = tried(_MODEL, spec, _look, spec, shapes, blank_knobs(spec))
    for name, outputs in (("training", looked.trained), ("evaluation", looked.evaluated)):
        expected = (_ROWS, *shapes.answer)
        if not hasattr(outputs, "shape"):
            raise CodeError(
                f"model.python: {spec.python} gives a {type(outputs).__name__} in {name}: give one "
                f"array {_rows(expected)}."
            )
        if outputs.shape != expected:
            is_flat = len(outputs.shape) == len(expected) or outputs.shape[-1] != shapes.outputs
            raise CodeError(
                f"model.python: the outputs of {spec.python} in {name} have the shape "
                f"{_rows(outputs.shape)}, and the data need {_rows(expected)}: "
                + (
                    "take the number of outputs from an argument `outputs`."
                    if is_flat
                    else _FLATTEN
                )
            )
    before, after = (jax.tree.map(_kind, tree) for tree in (looked.state.variables, looked.changed))
    if before != after:
        raise CodeError(
            f"model.python: a call of {spec.python} changes the shape or type of its variables, "
            f"from {before} to {after}: keep them."
        )
    return looked.state


def look_at_rows(spec: OwnModel, shapes: Shapes, trained: int, evaluated: int) -> None:
    """Refuse a module that fails at the sizes of its batches in training and in evaluation.

    Raises:
        CodeError: with the shape of the batch, and the user's line or the shape of the outputs.
    """
    dropout = Dropout(0, MaskKey(jnp.uint32(1), jnp.uint32(2)))
    for mode, rows, masks in (("training", trained, dropout), ("evaluation", evaluated, None)):
        batch = f"a batch of shape {[rows, *shapes.example]} in {mode}"
        cure = "take the number of rows from len(x)"
        try:
            found = _outputs(spec, shapes, masks, rows)
        except CodeError as error:
            with suppress(CodeError):
                _outputs(spec, shapes, masks, _ROWS)
                text = f"{error.sentence.rstrip('.')}, for {batch}: {cure}."
                error = CodeError(text, error.frames)
            raise error from None
        shape = getattr(found, "shape", ())
        if shape[:1] != (rows,) and shape[1:] == shapes.answer:
            raise CodeError(
                f"model.python: the outputs of {spec.python} have the shape {list(shape)} for "
                f"{batch}, and the data need {[rows, *shapes.answer]}: {cure}."
            )


def _outputs(spec: OwnModel, shapes: Shapes, dropout: Dropout | None, rows: int) -> Any:
    """The shape of a module's outputs for so large a batch."""

    def run(x: Any) -> Any:
        return own.call(spec, shapes, own.draw(spec, shapes, 0), x, dropout)[0]

    example = jax.ShapeDtypeStruct((rows, *shapes.example), shapes.x)
    return tried(_MODEL, spec, jax.eval_shape, run, example)


def static_numbers(spec: OwnModel, shapes: Shapes) -> dict[str, str]:
    """The numbers of a module that it needs as Python numbers, each with the user's line.

    Raises:
        HpoError: as `numbers_to_fix` does.
    """
    look_at(spec, shapes)
    return numbers_to_fix(
        "model", spec, lambda names: tried(_MODEL, spec, _look, spec, shapes, names)
    )


def numbers_to_fix(
    section: str, code: CompiledCode, trace: Callable[[Collection[str]], object]
) -> dict[str, str]:
    """The numbers that the code of a section needs as Python numbers, each with the user's line.

    They are those that `trace` fails with, which traces the code with these of its numbers traced.
    What the spec or the source decides is left as it is.

    Raises:
        HpoError: where the spec says that a number is a knob which cannot be one.
    """

    def failure(traced: Collection[str]) -> CodeError | None:
        try:
            trace(traced)
        except CodeError as error:
            return error
        return None

    decided = [name for name in _knobs(code) if name not in code.own.assumed]
    if decided and (error := failure(decided)):
        text = _place(error, code)
        raise HpoError(f"{section}.knobs: {', '.join(decided)} cannot be traced: {text}.")
    free = [name for name in code.own.assumed if _is_number(getattr(code, name))]
    if not free or failure([*free, *decided]) is None:
        return {}
    return {name: _place(error, code) for name, error in failing(free, failure, decided).items()}


def blank_knobs(code: CompiledCode) -> list[str]:
    """The numbers of the code in a program's template that are traced."""
    return [name for name in _knobs(code) if getattr(code, name) == BLANK]


def failing(
    names: Collection[str],
    failure: Callable[[Collection[str]], E | None],
    others: Collection[str] = (),
) -> dict[str, E]:
    """The names of numbers that cannot be traced, each with the error of a trace with it.

    `failure` traces with some of them. Numbers that fail only together, or beside the `others`,
    all count.
    """
    alone = {name: failure([name]) for name in names}
    found = {name: error for name, error in alone.items() if error is not None}
    left = [name for name in names if name not in found]
    if (error := failure([*left, *others])) is not None:
        found |= dict.fromkeys(left, error)
    return found


def is_remade(spec: OwnModel, shapes: Shapes) -> bool:
    """Whether two traces of the module differ.

    They do where it draws random numbers of Python or NumPy, or reads a global that it changes.
    """
    # Each from a function of its own: JAX keeps the traces of one.
    twice = (_traceable(spec, shapes, ()) for _ in range(2))
    found = [jax.make_jaxpr(run)(*args) for run, *args in twice]
    texts = [_ADDRESS.sub("", str(jaxpr)) for jaxpr in found]
    if texts[0] != texts[1]:
        return True
    pairs = zip(*(jaxpr.consts for jaxpr in found), strict=True)
    return not all(np.array_equal(one, other, equal_nan=True) for one, other in pairs)


@dataclass(frozen=True)
class _Question:
    """A module to look at; equal for the same code with the same arguments and shapes."""

    key: str
    spec: OwnModel = field(compare=False)
    shapes: Shapes
    traced: tuple[str, ...]


def _look(spec: OwnModel, shapes: Shapes, traced: Collection[str]) -> _Look:
    # Not by the spec itself, in which 1 equals 1.0, and which two files may share.
    return _looked(_Question(repr((spec, spec.own)), spec, shapes, tuple(traced)))


@lru_cache(maxsize=64)
def _looked(asked: _Question) -> _Look:
    run, numbers, example = _traceable(asked.spec, asked.shapes, asked.traced)
    found: _Look = jax.eval_shape(run, numbers, example)
    return found


def _traceable(spec: OwnModel, shapes: Shapes, traced: Collection[str]) -> tuple[Any, Any, Any]:
    """A function that builds, trains and evaluates a module, and its arguments."""
    example = jax.ShapeDtypeStruct((_ROWS, *shapes.example), shapes.x)

    def run(numbers: Mapping[str, Any], x: Any) -> _Look:
        filled = with_leaves(spec, numbers)
        state = own.draw(filled, shapes, 0)
        dropout = Dropout(0, MaskKey(jnp.uint32(1), jnp.uint32(2)))

        def loss(params: Any) -> tuple[Any, Any]:
            given = own.State(params, state.variables)
            outputs, changed = own.call(filled, shapes, given, x, dropout)
            is_one = hasattr(outputs, "shape")
            return outputs.sum().astype(jnp.float32) if is_one else 0.0, (outputs, changed)

        _, (outputs, changed) = jax.grad(loss, has_aux=True)(state.params)
        evaluated, _ = own.call(filled, shapes, state, x, None)
        return _Look(state, outputs, evaluated, changed)

    return run, {name: jax.ShapeDtypeStruct((), np.float32) for name in traced}, example


def _place(error: CodeError, code: CompiledCode) -> str:
    """Where a number has to be a Python number: the user's own line."""
    last = error.frames[-1] if error.frames else code.python
    place, _, line = last.partition(": ")
    return f"{place} (`{line}`)" if line else place


def _knobs(code: CompiledCode) -> list[str]:
    """The numbers of the code that are traced."""
    return [
        name
        for name in type(code).model_fields
        if mark_of(type(code), name) is Mark.KNOB and _is_number(getattr(code, name))
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_plain(value: Any) -> bool:
    return not isinstance(value, jax.Array | jax.core.Tracer) and value != BLANK


def _kind(leaf: Any) -> tuple[Any, Any]:
    return leaf.shape, leaf.dtype


def _rows(shape: tuple[int, ...]) -> str:
    """A shape in which the number of rows is a word: `[rows, 10]`."""
    return f"[{', '.join('rows' if size == _ROWS else str(size) for size in shape)}]"
