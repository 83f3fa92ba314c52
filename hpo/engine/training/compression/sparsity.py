"""Zeros among the weights of a lane, which hold through every optimizer: `compression.sparsity`.

A lane keeps one small number for each weight: whether it may be cut, is kept, or is cut. What pads
a narrower model in larger arrays may not be, so it is never counted. Connections change at the ends
of epochs alone, because all weights are then compared.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Int8, UInt32

from hpo.engine.models.abstract import abstract_model
from hpo.engine.program import Program, is_off
from hpo.engine.training.lane import Lane
from hpo.engine.training.techniques.layers import Gradient, is_kernel, mapped
from hpo.engine.training.techniques.updates import is_frozen
from hpo.engine.training.weights import joined, padded, parted, weight_count
from hpo.spec.experiment import Training
from hpo.spec.sections.compression.sparsity import BEGIN, END, Sparsity

# Biases, factors of norms, frozen layers and padding; a weight that is kept; one that is 0.
FREE, KEPT, CUT = 0, 1, 2
_COPY = "connections"


def is_sparse(program: Program) -> bool:
    """Whether the lanes of a program have connections."""
    sparsity = program.template.compression.sparsity
    return sparsity.name != "none" and not is_off(sparsity.share)


def first_connections(program: Program, training: Training) -> dict[str, np.ndarray]:
    """The connections of a trial before its first step, as a copy of its lane; {} without."""
    if not is_sparse(program):
        return {}

    def one(name: str, shape: Any) -> np.ndarray:
        may_be_cut = is_kernel(name, shape) and not is_frozen(training.updates, name)
        return np.full(shape.shape, KEPT if may_be_cut else FREE, np.int8)

    own = mapped(one, abstract_model(program.of_its_own(training)).params)
    return {_COPY: joined(padded(own, abstract_model(program).params)).astype(np.int8)}


def connection_shapes(program: Program) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of `first_connections`."""
    shape = (weight_count(program),)
    return {_COPY: jax.ShapeDtypeStruct(shape, np.int8)} if is_sparse(program) else {}


def connections_of(lane: Lane) -> Int8[Array, " P"] | None:
    """The connections of a lane, None if it has none."""
    return None if lane.copies is None else lane.copies.get(_COPY)


def only_kept(gradient: Gradient, connections: Int8[Array, " P"] | None) -> Gradient:
    """The gradient where cut weights are 0, with zeros for them, so that no norm counts them."""
    if connections is None:
        return gradient

    def of_kept(params: Any) -> tuple[Any, Any, Any]:
        loss, variables, gradients = gradient(masked(connections, params))
        return loss, variables, masked(connections, gradients)

    return of_kept


def thinned(lane: Lane) -> Lane:
    """A lane whose cut weights are 0, in its weights and in their copies."""
    connections = connections_of(lane)
    if connections is None or lane.copies is None:
        return lane
    copies = {
        name: masked(connections, copy) if name in ("average", "slow") else copy
        for name, copy in lane.copies.items()
    }
    return lane._replace(params=masked(connections, lane.params), copies=copies)


def masked(connections: Int8[Array, " P"], vector: Float[Array, " P"]) -> Float[Array, " P"]:
    """A number for each weight, 0 for those that are cut."""
    return jnp.where(connections == CUT, jnp.zeros((), vector.dtype), vector)


def renewed(program: Program, spec: Training, lane: Lane, steps: Any) -> Lane:
    """A lane at the end of an epoch, which has these steps, with its connections renewed."""
    connections = connections_of(lane)
    if connections is None or lane.copies is None:
        return lane
    sparsity = spec.compression.sparsity
    share = scheduled_share(sparsity, lane.step / steps / spec.train.epochs)

    def one(name: str, connections: Array, weights: Array) -> Array:
        return smallest_cut(connections.ravel(), weights.ravel(), share).reshape(weights.shape)

    if sparsity.scope == "layer":
        trees = parted(program, connections), parted(program, lane.params)
        after = joined(mapped(one, *trees))
    else:
        after = one("", connections, lane.params)
    return thinned(lane._replace(copies={**lane.copies, _COPY: after}))


def scheduled_share(sparsity: Sparsity, trained: Float[Array, ""]) -> Float[Array, ""]:
    """The share of zeros after this share of the training.

    Source: Zhu and Gupta 2017, "To prune, or not to prune" (arXiv:1710.01878), Equation 1 with an
    initial sparsity of 0.
    """
    begin = BEGIN if sparsity.begin is None else sparsity.begin
    end = END if sparsity.end is None else sparsity.end
    # Rounding must not move an end by an epoch.
    part = (trained - begin + _ROUNDING) / jnp.maximum(end - begin, _ROUNDING)
    return sparsity.share * (1 - (1 - jnp.clip(part, 0.0, 1.0)) ** 3)


_ROUNDING = 1e-6


def smallest_cut(
    connections: Int8[Array, " P"], sizes: Float[Array, " P"], share: Float[Array, ""]
) -> Int8[Array, " P"]:
    """Connections of which this share is cut: those of the smallest sizes, the first of equals.

    Those that are cut already come before all others.
    """
    may_be_cut = connections != FREE
    count = jnp.round(share * may_be_cut.sum()).astype(jnp.int32)
    bits = lax.bitcast_convert_type(jnp.abs(sizes).astype(jnp.float32), jnp.uint32) + 1
    bits = jnp.where(connections == CUT, 0, bits)
    is_cut = lowest(jnp.where(may_be_cut, bits, _MOST_BITS), count)
    return jnp.where(may_be_cut, jnp.where(is_cut, CUT, KEPT), FREE).astype(jnp.int8)


_MOST_BITS = np.uint32(2**32 - 1)


def lowest(numbers: UInt32[Array, " P"], count: Int[Array, ""]) -> Bool[Array, " P"]:
    """Which are the `count` lowest of some whole numbers, the first of equals.

    The highest of them is found by halving its range 32 times, which is quicker than a sort.
    """

    def halved(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = low + (high - low) // 2
        is_enough = (numbers <= middle).sum() >= count
        return jnp.where(is_enough, low, middle + 1), jnp.where(is_enough, middle, high)

    ends = jnp.zeros((), jnp.uint32), jnp.full((), _MOST_BITS)
    _, highest = lax.fori_loop(0, 32, halved, ends)
    below, equal = numbers < highest, numbers == highest
    return below | (equal & (jnp.cumsum(equal) <= count - below.sum()))
