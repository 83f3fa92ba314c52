"""Builds the model of a program by its name, as shapes: nothing is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import nnx

from hpo import registry
from hpo.engine.models.initialisers import Initialiser
from hpo.engine.program import Program

PRECISIONS = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class Shapes(NamedTuple):
    """The sizes, platform and precision for which a model is built.

    `example` is the shape of one example, `outputs` the number of classes, or 1. `platform` is
    "cpu", "gpu" or "tpu"; layers compute in `dtype` and keep their weights in float32.
    """

    example: tuple[int, ...]
    outputs: int
    platform: str
    dtype: Any


class AbstractModel(NamedTuple):
    """A program's model as shapes.

    `params` are the shapes of the trained weights, `variables` those of other arrays (running
    statistics, carries). `leaves` are the initialisers of leaves with unusual names.
    """

    graph: Any
    params: dict[str, Any]
    variables: dict[str, Any]
    leaves: Mapping[str, Initialiser]


def abstract_model(program: Program) -> AbstractModel:
    """The program's model.

    Raises:
        HpoError: for a model that cannot take the data's examples.
    """
    return _abstract(_Shaped(program.model_key, program))


@dataclass(frozen=True)
class _Shaped:
    """A key for the cache: equal for programs whose models have the same arrays."""

    key: str
    program: Program = field(compare=False)


@lru_cache(maxsize=256)
def _abstract(shaped: _Shaped) -> AbstractModel:
    program = shaped.program
    dtype = PRECISIONS[program.template.train.precision]
    shapes = Shapes(program.example_shape, program.outputs, program.platform, dtype)
    return build(program.model, shapes)


def build(spec: Any, shapes: Shapes) -> AbstractModel:
    """The model that a spec names; merged leaves of the spec are `OneOf`.

    Raises:
        HpoError: for a model that cannot take examples of this shape.
    """
    make = registry.function("model", spec.name)
    model = nnx.eval_shape(lambda: make(spec, shapes, nnx.Rngs(0)))
    graph, params, variables = nnx.split(model, nnx.Param, ...)
    leaves = getattr(model, "leaves", {})
    return AbstractModel(graph, nnx.to_pure_dict(params), nnx.to_pure_dict(variables), leaves)
