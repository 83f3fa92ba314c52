"""Losses of a user's own: functions of outputs and targets that give a value for each row."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hpo.engine.models.look import blank_knobs, numbers_to_fix, tried
from hpo.engine.models.own import function_of, given_to
from hpo.engine.program import Program
from hpo.engine.training.batches import Batch
from hpo.errors import HpoError
from hpo.spec.code.own_loss import OwnLoss
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
    rows = tried("loss.python", loss, _called, loss, outputs, batch)
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
    if (loss := program.template.loss) is not None:
        _trace(program, loss, blank_knobs(loss))


def static_numbers_of_loss(program: Program, loss: OwnLoss) -> dict[str, str]:
    """The numbers of a loss that it needs as Python numbers, each with the user's line.

    Raises:
        CodeError: for an error of the user's own code that has nothing to do with traced numbers.
        HpoError: for a loss that gives no value for each row.
    """
    _trace(program, loss, ())
    return numbers_to_fix("loss", loss, lambda names: _trace(program, loss, names))


def _called(loss: OwnLoss, outputs: Any, batch: Batch) -> Array:
    function = function_of(loss)
    second = [*inspect.signature(function).parameters][1:2]
    rest = {name: array for name, array in batch.items() if name != "weight"}
    targets = rest if second == ["batch"] else batch["y"]
    return jnp.asarray(function(outputs, targets, **given_to(loss)))


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
