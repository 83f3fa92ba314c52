"""Losses of a user's own: functions of outputs and targets that give a value for each row."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hpo.engine.labels import BLANK
from hpo.engine.models.look import failing
from hpo.engine.program import Program
from hpo.engine.training.batches import Batch
from hpo.errors import HpoError
from hpo.spec.code.frames import CodeError, telling
from hpo.spec.code.own_function import arguments_of
from hpo.spec.code.own_loss import OwnLoss
from hpo.spec.code.running import run_code
from hpo.spec.marks import with_leaves

# Enough rows to tell them from other sizes.
_ROWS = 7


def own_rows(loss: OwnLoss, outputs: Float[Array, "B K"], batch: Batch) -> Float[Array, " B"]:
    """The values of a loss for the rows of a batch.

    The function gets the outputs and the targets, or the batch if its second argument is `batch`.
    Its values are multiplied by the rows' weights later, so that the batch is without them.

    Raises:
        CodeError: for an error of the user's own code.
        HpoError: for a result that is no value for each row.
    """
    code = loss.own.code
    if code is None:
        raise HpoError(f"loss.python: '{loss.python}': {loss.own.trouble}.")
    given = arguments_of(loss)
    # Those of a program are blank or traced, and say nothing.
    known = {name: value for name, value in given.items() if _is_told(value)}
    with telling(code, "loss.python", known):
        function = run_code(code)
        second = [*inspect.signature(function).parameters][1:2]
        rest = {name: array for name, array in batch.items() if name != "weight"}
        found = function(outputs, rest if second == ["batch"] else batch["y"], **given)
        rows = jnp.asarray(found)
    if rows.shape != outputs.shape[:1]:
        raise HpoError(
            f"loss.python: {loss.python} gives an array of shape {list(rows.shape)} for "
            f"{outputs.shape[0]} rows: give one value for each row, [{outputs.shape[0]}]."
        )
    return rows.astype(jnp.float32)


def look_at_loss(program: Program) -> None:
    """Trace the loss of a program, if it is a user's own, without computing anything.

    Raises:
        CodeError: for an error of the user's own code.
        HpoError: for a loss that gives no value for each row.
    """
    if program.template.loss is not None:
        knobs = [n for n in program.template.loss.own.assumed if _is_blank(program, n)]
        _trace(program, program.template.loss, knobs)


def static_numbers_of_loss(program: Program, loss: OwnLoss) -> dict[str, str]:
    """The numbers of a loss that it needs as Python numbers, each with the user's line.

    Raises:
        CodeError: for an error of the user's own code that has nothing to do with traced numbers.
        HpoError: for a loss that gives no value for each row.
    """
    _trace(program, loss, ())
    free = [name for name in loss.own.assumed if isinstance(getattr(loss, name), int | float)]
    static = failing(free, lambda traced: _failure(program, loss, traced))
    return {name: _place(error, loss) for name, error in static.items()}


def _trace(program: Program, loss: OwnLoss, knobs: Collection[str]) -> None:
    """Trace a loss and its gradient with these of its numbers traced."""
    kind = np.int32 if program.task == "classification" else np.float32
    outputs = jax.ShapeDtypeStruct((_ROWS, program.outputs), np.float32)
    batch = {
        "x": jax.ShapeDtypeStruct((_ROWS, *program.example_shape), np.float32),
        "y": jax.ShapeDtypeStruct((_ROWS,), kind),
    }

    def mean(outputs: Any, batch: Batch, numbers: Any) -> Any:
        return own_rows(with_leaves(loss, numbers), outputs, batch).mean()

    numbers = {name: jax.ShapeDtypeStruct((), np.float32) for name in knobs}
    jax.eval_shape(jax.grad(mean), outputs, batch, numbers)


def _failure(program: Program, loss: OwnLoss, knobs: Collection[str]) -> CodeError | None:
    """The error of a trace with these numbers traced, if there is one."""
    try:
        _trace(program, loss, knobs)
    except CodeError as error:
        return error
    return None


def _place(error: CodeError, loss: OwnLoss) -> str:
    """Where a number has to be a Python number: the user's own line."""
    _, *lines = str(error).splitlines()
    place, _, line = lines[-1].strip().partition(": ") if lines else (loss.python, "", "")
    return f"{place} (`{line}`)" if line else place


def _is_told(value: Any) -> bool:
    return not isinstance(value, jax.Array) and value != BLANK


def _is_blank(program: Program, name: str) -> bool:
    return bool(getattr(program.template.loss, name) == BLANK)
