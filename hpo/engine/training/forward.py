"""The forward pass of a model: one function for training, evaluation and cost measurement."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from hpo.engine.models import own
from hpo.engine.models.abstract import PRECISIONS, Members, abstract_model, shapes_of
from hpo.engine.models.dropout import Dropout
from hpo.engine.program import Program
from hpo.engine.training.batches import Batch
from hpo.engine.training.targets.sums import joined
from hpo.spec.code.own_model import OwnModel


def forward(
    program: Program,
    spec: Any,
    params: Any,
    variables: Any,
    batch: Batch,
    dropout: Dropout | None = None,
) -> tuple[Any, Any]:
    """The outputs of a program's model for a batch, and its variables afterwards.

    `spec` is the model's spec with its knobs filled in. With `dropout` the model runs in training
    mode, without it in evaluation mode. A model with members gives `Members` in training, and
    otherwise the outputs of their mean prediction.
    """
    x = batch["x"]
    if not program.categories:  # whose model casts the numbers beside the codes
        x = cast(x, PRECISIONS[program.template.train.precision])
    if isinstance(spec, OwnModel):
        return own.call(spec, shapes_of(program), own.State(params, variables), x, dropout)
    graph = abstract_model(program).graph
    model = nnx.merge(graph, params, variables)
    is_training = dropout is not None
    outputs = model(x, spec, train=is_training, dropout=dropout or Dropout(0, None))
    if isinstance(outputs, Members) and not is_training:
        outputs = joined(program.task, outputs)
    return outputs, nnx.to_pure_dict(nnx.state(model, nnx.Not(nnx.Param)))


def cast(x: Array, dtype: Any) -> Array:
    """`x` in the precision of the computation; tokens and other whole numbers unchanged."""
    # bfloat16 cannot represent all whole numbers above 256.
    return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x
