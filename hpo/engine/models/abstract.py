"""Builds the model of a program by its name, as shapes: nothing is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from hpo import registry
from hpo.engine.models.initialisers import Initialiser
from hpo.engine.program import Program
from hpo.errors import HpoError
from hpo.spec.registered import needs_of

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
    return build(shaped.program.model, _shapes(shaped.program))


def _shapes(program: Program) -> Shapes:
    dtype = PRECISIONS[program.template.train.precision]
    return Shapes(program.example_shape, program.outputs, program.platform, dtype)


def authored(spec: Any, program: Program, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights and variables as the initialisers in a module's own layers draw them, NumPy arrays.

    The module is built with the numbers of `spec`, so that an initialiser may depend on them.
    """
    make = registry.function("model", spec.name)
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        model = make(spec, _shapes(program), nnx.Rngs(seed))
    _, *states = nnx.split(model, nnx.Param, ...)
    params, variables = (jax.tree.map(np.asarray, nnx.to_pure_dict(state)) for state in states)
    return params, variables


def build(spec: Any, shapes: Shapes) -> AbstractModel:
    """The model that a spec names; merged leaves of the spec are `OneOf`.

    Raises:
        HpoError: for a model that cannot take examples of this shape.
    """
    make = registry.function("model", spec.name)
    if "images" in needs_of("model", spec) and len(shapes.example) != 3:
        raise HpoError(
            f"model.name: '{spec.name}' needs images, and an example of this data set has the "
            f"shape {shapes.example}: use mlp."
        )
    model = nnx.eval_shape(lambda: make(spec, shapes, nnx.Rngs(0)))
    graph, params, variables = nnx.split(model, nnx.Param, ...)
    leaves = getattr(model, "leaves", {})
    return AbstractModel(graph, nnx.to_pure_dict(params), nnx.to_pure_dict(variables), leaves)
