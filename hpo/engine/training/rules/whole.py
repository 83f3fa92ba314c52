"""Optimizers that take all training rows in one step: L-BFGS, and the exact least squares.

Both get the gradient as a function of the weights (see `hpo.engine.training.optimizers`).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from hpo.engine.program import Program, is_off
from hpo.errors import HpoError
from hpo.spec.registered import needs_of
from hpo.spec.sections.models.tables import Mlp
from hpo.spec.sections.optimizers import whole as specs

Parts = list[Any]

# Of the Hessian, whose decomposition takes time as their third power.
_MOST_WEIGHTS = 2_000
# Of float32: smaller eigenvalues, as a share of the largest and by their number, are 0.
_ROUNDING = 2.0**-23


def lbfgs(spec: specs.LBfgs) -> Parts:
    line = optax.scale_by_zoom_linesearch(spec.search_steps, initial_guess_strategy="one")
    inner = optax.lbfgs(memory_size=spec.memory, linesearch=line)

    def update(
        gradients: Any, state: Any, params: Any, *, gradient: Any, loss: Any, **_: Any
    ) -> tuple[Any, Any]:
        def both(weights: Any) -> tuple[Any, Any]:
            loss, gradients = gradient(weights)
            return _penalized(spec, weights, loss, gradients)

        @jax.custom_vjp
        def value(weights: Any) -> Any:
            return both(weights)[0]

        value.defvjp(both, lambda gradients, weight: (weight * gradients,))
        loss, gradients = _penalized(spec, params, loss, gradients)
        given = {"value": loss, "grad": gradients, "value_fn": value}
        step, state = inner.update(gradients, state, params, **given)
        return -step, state

    return [optax.GradientTransformationExtraArgs(inner.init, update)]


def _penalized(spec: Any, weights: Any, loss: Any, gradients: Any) -> tuple[Any, Any]:
    """Loss and gradients with the L2 penalty."""
    if is_off(spec.weight_decay):
        return loss, gradients
    decay = spec.weight_decay * weights
    return loss + 0.5 * (decay * weights).sum(), gradients + decay


def exact(spec: specs.Exact) -> Parts:
    """The step to the minimum of a quadratic loss; of several, to the smallest weights.

    The Hessian comes column by column from the gradient, which is a linear function.
    """

    def update(
        gradients: Any, state: Any, params: Any, *, gradient: Any, **_: Any
    ) -> tuple[Any, Any]:
        def column(axis: Any) -> Any:
            return jax.jvp(lambda weights: gradient(weights)[1], (params,), (axis,))[1]

        axes = jnp.eye(len(params), dtype=params.dtype)
        hessian = lax.map(column, axes)
        if not is_off(spec.weight_decay):
            hessian = hessian + spec.weight_decay * axes
            gradients = gradients + spec.weight_decay * params
        values, vectors = jnp.linalg.eigh(hessian)
        least = values.max() * len(params) * _ROUNDING
        along, weights = vectors.T @ gradients, vectors.T @ params
        # Where the loss is flat, the smallest weights are 0.
        steps = jnp.where(values > least, along / jnp.maximum(values, least), weights)
        return vectors @ steps, state

    return [optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), update)]


def check_whole(program: Program, weights: int) -> None:
    """Refuse smaller batches for an optimizer that takes all rows, and `exact` for other models.

    Raises:
        HpoError: in one sentence.
    """
    training = program.template
    name = training.optimizer.name
    if "all rows" not in needs_of("optimizer", training.optimizer):
        return
    size = training.data.batch_size
    if size != program.train_rows:
        raise HpoError(
            f"optimizer.name: {name} takes all training rows in one step, and data.batch_size is "
            f"{size} of {program.train_rows}: write data.batch_size: all."
        )
    if name == "exact" and (why := _not_linear(program, weights)):
        raise HpoError(
            f"optimizer.name: exact solves a linear regression, and {why}: use another optimizer."
        )


def _not_linear(program: Program, weights: int) -> str:
    """Why a program is no linear regression of few weights; empty if it is one."""
    model, loss = program.template.model, program.template.loss
    is_linear = isinstance(model, Mlp) and not (model.widths or program.categories)
    if not is_linear or model.output != "linear":
        return "this model is not linear, as {name: mlp, widths: []} is"
    if program.task != "regression" or (loss is not None and loss.name != "mse"):
        return "the loss is not the mse of a regression"
    if weights > _MOST_WEIGHTS:
        return f"this model has {weights:,} weights, more than {_MOST_WEIGHTS:,}"
    return ""
