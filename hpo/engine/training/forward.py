"""The forward pass of a model: one function for training, evaluation and cost measurement."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from hpo.engine.models import own
from hpo.engine.models.abstract import PRECISIONS, Members, abstract_model, model_alone, shapes_of
from hpo.engine.models.activations.rounding import rounding
from hpo.engine.models.activations.sparse import only_largest
from hpo.engine.models.dropout import Dropout
from hpo.engine.models.look import tried
from hpo.engine.program import Program
from hpo.engine.training.batches import Batch
from hpo.engine.training.compression.inputs import added_of
from hpo.engine.training.targets.sums import joined
from hpo.spec.code.own_model import OwnModel
from hpo.spec.experiment import Training


def forward(
    program: Program,
    spec: Training,
    params: Any,
    variables: Any,
    batch: Batch,
    dropout: Dropout | None = None,
    norm_momentum: Any = None,
) -> tuple[Any, Any]:
    """The outputs of a program's model for a batch, and its variables afterwards.

    `spec` is a training with its knobs filled in. With `dropout` the model runs in training
    mode, without it in evaluation mode. A model with members gives `Members` in training, and
    otherwise the outputs of their mean prediction. Batch norms keep `norm_momentum` of their
    statistics, or what the spec says, and ranges of inputs a part of their own.

    Raises:
        CodeError: for an error of the user's own model with these rows.
    """
    x = batch["x"]
    if not program.categories:  # whose model casts the numbers beside the codes
        x = cast(x, PRECISIONS[program.template.train.precision])
    added, params = added_of(params), model_alone(params)
    if isinstance(spec.model, OwnModel):
        given = (shapes_of(program), own.State(params, variables), x, dropout)
        return tried("model.python", spec.model, own.call, spec.model, *given)
    graph = abstract_model(program).graph
    model = nnx.merge(graph, params, variables)
    is_training = dropout is not None
    answers = spec.compression.activations
    rounded = rounding(answers.bits, is_training=is_training, kept=norm_momentum, added=added)
    if is_training and norm_momentum is None:
        norm_momentum = getattr(spec.model, "norm_momentum", None)
    usual = _set_momentum(model, norm_momentum)
    with (
        nullcontext() if answers.bits is None else rounded,
        nullcontext() if answers.top is None else only_largest(answers.top),
    ):
        outputs = model(x, spec.model, train=is_training, dropout=dropout or Dropout(0, None))
    for norm, momentum in usual:
        norm.momentum = momentum  # an array would count as a variable
    if isinstance(outputs, Members) and not is_training:
        outputs = joined(program.task, outputs)
    return outputs, nnx.to_pure_dict(nnx.state(model, nnx.Not(nnx.Param)))


def _set_momentum(model: nnx.Module, momentum: Any) -> list[tuple[nnx.BatchNorm, Any]]:
    """Give all batch norms of a model a momentum unless it is None; back come those they had."""
    if momentum is None:
        return []
    norms = [part for _, part in nnx.iter_graph(model) if isinstance(part, nnx.BatchNorm)]
    usual = [(norm, norm.momentum) for norm in norms]
    for norm in norms:
        norm.momentum = momentum
    return usual


def cast(x: Array, dtype: Any) -> Array:
    """`x` in the precision of the computation; tokens and other whole numbers unchanged."""
    # bfloat16 cannot represent all whole numbers above 256.
    return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x
