"""Features that follow those of a teacher: `compression.teacher.match`.

Source: Romero et al. 2015, "FitNets: hints for thin deep nets" (arXiv:1412.6550), Section 2.2.
The map from the features of a model to those of its teacher is trained in the vector of the
model's weights, by the same optimizer, and is not saved with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hpo.engine.models.abstract import TEACHER_MAP, abstract_model
from hpo.engine.models.activations.sparse import measured
from hpo.engine.program import Program
from hpo.engine.training.batches import Batch
from hpo.engine.training.compression.distillation import HINTS
from hpo.engine.training.compression.teaching import Network
from hpo.spec.sections.compression.teacher import MATCH

_Result = TypeVar("_Result")
# The part of a batch that has the features of its rows in the networks of a teacher.
_FEATURES = "teacher_features"


class Hint(NamedTuple):
    """The features of rows in one network of a teacher, and its share of the whole."""

    features: Float[Array, "B ... T"]
    share: Any


def with_first_map(program: Program, params: Any) -> Any:
    """First weights on the host, with a map to the features of a teacher where one is trained.

    Its zeros move at once, by the features, which are not 0. So nothing is drawn for it, and the
    first step moves the map alone.
    """
    if not program.hints:
        return params
    shapes = abstract_model(program).params[TEACHER_MAP]
    first = {name: np.zeros(shape.shape, shape.dtype) for name, shape in shapes.items()}
    return {**params, TEACHER_MAP: first}


def without_map(params: Any) -> Any:
    """The weights of a trained model, without a map to the features of its teacher."""
    return {name: part for name, part in params.items() if name != TEACHER_MAP}


def with_hints(program: Program, networks: Sequence[Network], batch: Batch) -> Batch:
    """A batch with the features of its rows in a teacher, where the loss compares them."""
    if not program.hints:
        return batch
    found = []
    for one in networks:
        with measured(_own_units, MATCH) as features:
            one.outputs(program, batch["x"])
        found.append(Hint(features[-1], one.share))
    return {**batch, _FEATURES: found}


def hinted(weights: Any, batch: Batch, run: Callable[[], _Result]) -> tuple[_Result, Batch]:
    """What `run` gives back, and the batch with how far each row is from the teacher, if it is
    compared."""
    if _FEATURES not in batch:
        return run(), batch
    with measured(_own_units, MATCH) as features:
        result = run()
    return result, {**batch, HINTS: hint_rows(weights[TEACHER_MAP], features[-1], batch[_FEATURES])}


def hint_rows(
    to_teacher: Any, features: Float[Array, "B ... S"], hints: Sequence[Hint]
) -> Float[Array, " B"]:
    """The mean squared difference of each row from the features of a teacher, after the map.

    Positions, such as those of an image, are compared each if both models have the same, and
    otherwise by the means over them. That is Equation 3 with a mean in place of half of the sum,
    so that it does not grow with the width of a teacher.
    """
    total, start = jnp.zeros(len(features), jnp.float32), 0
    for wanted, share in hints:
        end = start + wanted.shape[-1]
        own, other = _alike(features, wanted)
        mapped = own @ to_teacher["kernel"][:, start:end] + to_teacher["bias"][start:end]
        total += share * jnp.square(mapped - other).reshape(len(features), -1).mean(1)
        start = end
    return total


def _alike(own: Array, other: Array) -> tuple[Array, Array]:
    """Two features of the same positions, or both as means over their own."""
    if own.shape[:-1] == other.shape[:-1]:
        return own, other
    means = (one.mean(tuple(range(1, one.ndim - 1))) for one in (own, other))
    return tuple(means)  # type: ignore[return-value]


def _own_units(y: Float[Array, "B ... N"], features: Any) -> Float[Array, "B ... N"]:
    """An activation whose padding, the units after `features`, is 0."""
    return jnp.where(jnp.arange(y.shape[-1]) < features, y.astype(jnp.float32), 0)
