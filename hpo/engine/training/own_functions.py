"""Functions of a user's own in a training step: its loss, and its augmentation.

A loss is a function of outputs and targets that gives a value for each row. An augmentation changes
the examples of each training batch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num, UInt32

from hpo.engine.models.abstract import shapes_of
from hpo.engine.models.layers import own_activation
from hpo.engine.models.look import blank_knobs, numbers_to_fix, tried
from hpo.engine.models.own import function_of, given_to
from hpo.engine.program import Program
from hpo.engine.training.batches import Batch
from hpo.errors import HpoError
from hpo.spec.code.own_code import CompiledCode
from hpo.spec.code.own_functions import OwnActivation, OwnAugment, OwnLoss
from hpo.spec.experiment import Training
from hpo.spec.marks import with_leaves

# Traces a function with these of its numbers traced.
Trace: TypeAlias = Callable[[Collection[str]], None]
_RANDOM = "threefry2x32"
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
    rows = tried("loss.python", loss, _values, loss, outputs, batch)
    if rows.shape != outputs.shape[:1]:
        raise HpoError(
            f"loss.python: {loss.python} gives an array of shape {list(rows.shape)} for "
            f"{outputs.shape[0]} rows: give one value for each row, [{outputs.shape[0]}]."
        )
    return rows.astype(jnp.float32)


def augment_key(key: UInt32[Array, "2"], step: Int[Array, ""]) -> Array:
    """The random key of a step's augmentation, from the trial's own key alone."""
    return jax.random.fold_in(jax.random.wrap_key_data(key, impl=_RANDOM), step)


def augmented(augment: OwnAugment, x: Num[Array, "B ..."], key: Array) -> Num[Array, "B ..."]:
    """The examples of a training batch, changed by the user's function.

    They are not in the precision of `train.precision` yet, so that numbers of the function keep
    their type.

    Raises:
        CodeError: for an error of the user's own code.
        HpoError: for a result of another shape or type.
    """
    found = tried("augment.python", augment, _changed, augment, x, key)
    if (found.shape, found.dtype) != (x.shape, x.dtype):
        raise HpoError(
            f"augment.python: {augment.python} turns a batch of shape {list(x.shape)} and type "
            f"{x.dtype} into {list(found.shape)} and {found.dtype}: keep both."
        )
    return found


def look_at_functions(program: Program) -> None:
    """Trace the functions of a user's own in a program, without computing anything.

    Raises:
        CodeError: for an error of the user's own code.
        HpoError: for a function whose result does not fit.
    """
    for _, code, trace in _functions(program, program.template):
        trace(blank_knobs(code))


def static_numbers_of_functions(program: Program, training: Training) -> dict[str, str]:
    """The numbers that the functions of a training need as Python numbers, by their paths.

    With each comes the user's line.

    Raises:
        CodeError: for an error of the user's own code that has nothing to do with traced numbers.
        HpoError: for a function whose result does not fit, or for a knob that cannot be one.
    """
    static: dict[str, str] = {}
    for path, code, trace in _functions(program, training):
        trace(())
        found = numbers_to_fix(path, code, trace)
        static |= {f"{path}.{name}": why for name, why in found.items()}
    return static


def _functions(program: Program, training: Training) -> Iterator[tuple[str, CompiledCode, Trace]]:
    """Each function of a user's own: its path in the spec, its section, and how it is traced."""
    if isinstance(training.loss, OwnLoss):
        yield "loss", training.loss, partial(_trace_loss, program, training.loss)
    if isinstance(training.augment, OwnAugment):
        yield "augment", training.augment, partial(_trace_augment, program, training.augment)
    activation = getattr(training.model, "activation", None)
    if isinstance(activation, OwnActivation):
        yield "model.activation", activation, partial(_trace_activation, program, activation)


def _trace_loss(program: Program, loss: OwnLoss, knobs: Collection[str]) -> None:
    """Trace a loss and its gradient with these of its numbers traced, computing nothing."""
    is_class = program.task == "classification" or program.positions
    is_several = program.task == "multilabel" or (
        program.task == "regression" and program.outputs > 1
    )
    targets = (program.outputs,) if is_several else program.positions
    outputs = jax.ShapeDtypeStruct((_ROWS, *program.output_shape), np.float32)
    batch = {
        "x": jax.ShapeDtypeStruct((_ROWS, *program.example_shape), program.example_type),
        "y": jax.ShapeDtypeStruct((_ROWS, *targets), np.int32 if is_class else np.float32),
    }

    def mean(outputs: Any, batch: Batch, numbers: Any) -> Any:
        return own_rows(with_leaves(loss, numbers), outputs, batch).mean()

    numbers = {name: jax.ShapeDtypeStruct((), np.float32) for name in knobs}
    jax.eval_shape(jax.grad(mean), outputs, batch, numbers)


def _values(loss: OwnLoss, outputs: Any, batch: Batch) -> Array:
    function = function_of(loss)
    second = [*inspect.signature(function).parameters][1:2]
    rest = {name: array for name, array in batch.items() if name != "weight"}
    targets = rest if second == ["batch"] else batch["y"]
    return jnp.asarray(function(outputs, targets, **given_to(loss)))


def _trace_augment(program: Program, augment: OwnAugment, knobs: Collection[str]) -> None:
    """Trace an augmentation with these of its numbers traced, computing nothing."""
    x = jax.ShapeDtypeStruct((_ROWS, *program.example_shape), program.example_type)
    numbers = {name: jax.ShapeDtypeStruct((), np.float32) for name in knobs}
    jax.eval_shape(
        lambda x, key, numbers: augmented(with_leaves(augment, numbers), x, key),
        x,
        jax.eval_shape(lambda: jax.random.key(0, impl=_RANDOM)),
        numbers,
    )


def _trace_activation(program: Program, activation: OwnActivation, knobs: Collection[str]) -> None:
    """Trace an activation and its gradient with these of its numbers traced."""
    x = jax.ShapeDtypeStruct((_ROWS, program.outputs), shapes_of(program).dtype)

    def total(x: Any, numbers: Any) -> Any:
        return own_activation(with_leaves(activation, numbers), x).sum()

    numbers = {name: jax.ShapeDtypeStruct((), np.float32) for name in knobs}
    jax.eval_shape(jax.grad(total), x, numbers)


def _changed(augment: OwnAugment, x: Array, key: Array) -> Array:
    return jnp.asarray(function_of(augment)(x, key, **given_to(augment)))
