"""The models by name, and how a program's model is built without computing anything."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
from flax import nnx

from hpo.engine.models.cnn import Cnn
from hpo.engine.models.mlp import Mlp
from hpo.engine.program import Program

PRECISIONS = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def _mlp(program: Program, dtype: Any, rngs: nnx.Rngs) -> nnx.Module:
    return Mlp(program.template.model, program.example_shape, program.outputs, dtype, rngs)


def _cnn(program: Program, dtype: Any, rngs: nnx.Rngs) -> nnx.Module:
    spec, platform = program.template.model, program.platform
    return Cnn(spec, program.example_shape, program.outputs, platform, dtype, rngs)


MODELS: dict[str, Callable[[Program, Any, nnx.Rngs], nnx.Module]] = {"mlp": _mlp, "cnn": _cnn}


@lru_cache(maxsize=256)
def abstract_model(program: Program) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The program's model as (graph definition, shapes of the weights, shapes of its statistics).

    Raises:
        HpoError: for a model that cannot take the data's examples.
    """
    dtype = PRECISIONS[program.template.train.precision]
    build = MODELS[program.template.model.name]
    model = nnx.eval_shape(lambda: build(program, dtype, nnx.Rngs(0)))
    graph, params, statistics = nnx.split(model, nnx.Param, nnx.BatchStat)
    return graph, nnx.to_pure_dict(params), nnx.to_pure_dict(statistics)
