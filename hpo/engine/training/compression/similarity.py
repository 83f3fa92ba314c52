"""Rows that are as similar to each other as in a teacher: `compression.teacher.similarity`.

Source: Tung and Mori 2019, "Similarity-preserving knowledge distillation" (arXiv:1907.09682),
Section 3. The widths of both models may differ, and no map between them is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from hpo.engine.models.activations.sparse import measured
from hpo.engine.program import Program, is_off
from hpo.engine.training.batches import Batch
from hpo.engine.training.compression.teaching import Network, shares_of
from hpo.spec.sections.compression.teacher import Teacher

_Result = TypeVar("_Result")
# The array of a batch that has the similarities of its rows in a teacher.
_TAUGHT = "similarities"
_LEAF = "compression.teacher.similarity"
# Added to a squared length, so that the gradient at rows of zeros is finite.
_LEAST = 1e-12


def with_similarities(
    program: Program, networks: Sequence[Network], teacher: Teacher, batch: Batch
) -> Batch:
    """A batch with the similarities of its rows in a teacher, where the loss reads them."""
    if not networks or getattr(teacher, "from") is None or is_off(teacher.similarity):
        return batch
    last = []
    for one in networks:
        with measured(similarities, _LEAF) as found:
            one.outputs(program, batch["x"])
        last.append(found[-1])
    return {**batch, _TAUGHT: jnp.tensordot(shares_of(networks), jnp.stack(last), 1)}


def similar(
    teacher: Teacher, batch: Batch, run: Callable[[], _Result]
) -> tuple[_Result, Float[Array, ""] | None]:
    """What `run` gives back, and the part of the loss that compares with a teacher if any does.

    That is Equation 4, the mean of the squared differences, times `similarity`.
    """
    if _TAUGHT not in batch:
        return run(), None
    with measured(similarities, _LEAF) as found:
        result = run()
    return result, teacher.similarity * jnp.square(found[-1] - batch[_TAUGHT]).mean()


def similarities(y: Float[Array, "B ... N"], features: Any) -> Float[Array, "B B"]:
    """The products of the rows of an activation with each other, each row of length 1.

    Units after `features` are padding. Source: Equations 2 and 3.
    """
    own = jnp.where(jnp.arange(y.shape[-1]) < features, y.astype(jnp.float32), 0)
    rows = own.reshape(len(y), -1)
    products = rows @ rows.T
    return products * lax.rsqrt(jnp.square(products).sum(-1, keepdims=True) + _LEAST)
