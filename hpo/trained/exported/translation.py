"""Translates a function of JAX into nodes of an ONNX graph, operation by operation.

The function is traced for a batch of `BATCH` rows, a prime number that no other axis has. Every
size that it divides is the batch's, and stays open in the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core

from hpo.trained.exported.graph import Graph

BATCH = 10_007
# An operation's equation and the names of its inputs, to the names of its outputs.
Operator = Callable[["Translation", Any, list[str]], list[str]]


class UntranslatedError(Exception):
    """An operation that has no translation; the text names it."""


class Translation:
    """A graph that grows by the operations of a function.

    A value that JAX has repeated along axes may still have the size 1 there: operators that work
    element by element repeat it themselves. `whole` gives such a value in its full shape.
    """

    def __init__(self, graph: Graph, batch_of: str, operators: Mapping[str, Operator]) -> None:
        self.graph, self._operators = graph, operators
        self._repeated: dict[str, tuple[int, ...]] = {}
        size = graph.add("Shape", batch_of, start=0, end=1)
        self._batch = size

    def run(self, jaxpr: Any, consts: Sequence[Any], inputs: Sequence[str]) -> list[str]:
        """The outputs of a function's equations for these inputs.

        Raises:
            UntranslatedError: for an operation without a translation.
        """
        values: dict[Any, str] = dict(zip(jaxpr.invars, inputs, strict=True))
        for variable, value in zip(jaxpr.constvars, consts, strict=True):
            values[variable] = self._constant(np.asarray(value))

        def read(atom: Any) -> str:
            if isinstance(atom, core.Literal):
                aval: Any = atom.aval
                return self._constant(np.asarray(atom.val, aval.dtype))
            return values[atom]

        for equation in read_equations(jaxpr):
            name = equation.primitive.name
            operator = self._operators.get(name)
            if operator is None:
                raise UntranslatedError(f"JAX's operation {name} has no translation to ONNX")
            found = operator(self, equation, [read(atom) for atom in equation.invars])
            values |= dict(zip(equation.outvars, found, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def inner(self, found: Any, inputs: Sequence[str]) -> list[str]:
        """The outputs of a function within an operation."""
        return self.run(getattr(found, "jaxpr", found), getattr(found, "consts", ()), inputs)

    def repeat(self, value: str, shape: Sequence[int]) -> str:
        """The same value, to be repeated to a shape of equal rank where that is needed."""
        name = self.graph.add("Identity", value)
        self._repeated[name] = tuple(shape)
        return name

    def is_repeated(self, value: str) -> bool:
        """Whether a value may have size 1 along an axis that is longer."""
        return value in self._repeated

    def whole(self, value: str) -> str:
        """A value in its full shape."""
        shape = self._repeated.get(value)
        return value if shape is None else self.graph.add("Expand", value, self.shape(shape))

    def shape(self, sizes: Sequence[int]) -> str:
        """A shape as a value, with the batch's own size in it."""
        if not any(map(is_batch, sizes)):
            return self.graph.constant(sizes, np.int64)
        parts = []
        for size in sizes:
            part = self.graph.constant([size // BATCH if is_batch(size) else size], np.int64)
            parts.append(self.graph.add("Mul", self._batch, part) if is_batch(size) else part)
        return self.graph.add("Concat", *parts, axis=0)

    def _constant(self, array: np.ndarray) -> str:
        if any(map(is_batch, array.shape)):
            raise UntranslatedError("an array has as many rows as the batch")
        return self.graph.constant(array)


def read_equations(jaxpr: Any) -> list[Any]:
    """The equations from which the outputs follow; random numbers that nothing reads are none."""
    read, found = {one for one in jaxpr.outvars if isinstance(one, core.Var)}, []
    for equation in reversed(jaxpr.eqns):
        if read.intersection(equation.outvars):
            found.append(equation)
            read.update(one for one in equation.invars if isinstance(one, core.Var))
    return found[::-1]


def is_batch(size: int) -> bool:
    """Whether an axis of this size is the batch, or a multiple of it."""
    return size > 0 and size % BATCH == 0


def translated(
    function: Callable[[Any], Any],
    shape: Sequence[int],
    kind: Any,
    operators: Mapping[str, Operator],
) -> Any:
    """A function of one array `[batch, *shape]` as an ONNX model.

    Raises:
        UntranslatedError: for an operation without a translation.
    """
    example = jax.ShapeDtypeStruct((BATCH, *shape), np.dtype(kind))
    traced: Any = jax.make_jaxpr(function)(example)
    graph = Graph()
    x = graph.input("x", kind, shape)
    translation = Translation(graph, x, operators)
    (found,) = translation.run(traced.jaxpr, traced.consts, [x])
    (outputs,) = traced.out_avals
    if outputs.shape[:1] != (BATCH,):
        raise UntranslatedError("its outputs have no axis for the rows")
    graph.output(translation.whole(found), "outputs", outputs.dtype, outputs.shape[1:])
    return graph.model()
