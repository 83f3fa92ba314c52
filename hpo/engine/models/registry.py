"""The models by name, and how a program's model is built without computing anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
from flax import nnx

from hpo.engine.models.cnn import Cnn
from hpo.engine.models.mlp import Mlp
from hpo.engine.program import Program

PRECISIONS = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def _mlp(spec: Any, program: Program, dtype: Any, rngs: nnx.Rngs) -> nnx.Module:
    return Mlp(spec, program.example_shape, program.outputs, dtype, rngs)


def _cnn(spec: Any, program: Program, dtype: Any, rngs: nnx.Rngs) -> nnx.Module:
    return Cnn(spec, program.example_shape, program.outputs, program.platform, dtype, rngs)


# Each takes its own spec class, which a type for all of them cannot say.
MODELS: dict[str, Callable[[Any, Program, Any, nnx.Rngs], nnx.Module]] = {
    "mlp": _mlp,
    "cnn": _cnn,
}


def abstract_model(program: Program) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The program's model as (graph definition, shapes of the weights, shapes of its statistics).

    Raises:
        HpoError: for a model that cannot take the data's examples.
    """
    return _abstract(_Shaped(program.model_key, program))


@dataclass(frozen=True)
class _Shaped:
    """A program, equal to every other whose model has the same arrays: tracing takes long."""

    key: str
    program: Program = field(compare=False)


@lru_cache(maxsize=256)
def _abstract(shaped: _Shaped) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    program = shaped.program
    dtype, spec = PRECISIONS[program.template.train.precision], program.model
    model = nnx.eval_shape(lambda: MODELS[spec.name](spec, program, dtype, nnx.Rngs(0)))
    graph, params, statistics = nnx.split(model, nnx.Param, nnx.BatchStat)
    return graph, nnx.to_pure_dict(params), nnx.to_pure_dict(statistics)
