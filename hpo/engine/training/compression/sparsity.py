"""Zeros among the weights of a lane, which hold through every optimizer: `compression.sparsity`.

A lane keeps its connections beside its weights. They change at the ends of epochs alone, because
all weights are then compared.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int8

from hpo.engine.models.abstract import abstract_model, is_kernel
from hpo.engine.models.dropout import mask_key, standard_normal
from hpo.engine.program import Program, is_off
from hpo.engine.training.compression.connections import (
    CUT,
    FREE,
    KEPT,
    group_cut,
    random_cut,
    replaced,
    smallest_cut,
    unit_cut,
)
from hpo.engine.training.lane import Lane
from hpo.engine.training.random_streams import connections_rng
from hpo.engine.training.techniques.layers import Gradient, is_head, mapped
from hpo.engine.training.techniques.updates import is_frozen
from hpo.engine.training.weights import joined, padded, parted, weight_count
from hpo.spec.experiment import Training
from hpo.spec.sections.compression.sparsity import (
    BEGIN,
    DROP,
    END,
    RANDOM,
    WITHOUT_SHARE,
    Sparsity,
)

# Names of sparsity whose connections never change.
_STILL = ("fixed", "kept")
# The copies of a lane: its connections, the gradient of its last batch with all weights, and the
# weights to which it goes back.
_CONNECTIONS, _GRADIENT, _EARLY = "connections", "gradient", "early"


def is_sparse(program: Program) -> bool:
    """Whether weights of a program's lanes are cut."""
    sparsity = program.template.compression.sparsity
    has_zeros = sparsity.name in WITHOUT_SHARE or not is_off(sparsity.share)
    return sparsity.name != "none" and has_zeros


def _has_connections(program: Program) -> bool:
    """Whether the lanes of a program have connections, which the metric `sparsity` counts, too."""
    return is_sparse(program) or "sparsity" in program.template.train.metrics


def is_renewed(program: Program) -> bool:
    """Whether connections change while a lane trains."""
    return is_sparse(program) and program.template.compression.sparsity.name not in _STILL


def first_connections(
    program: Program, training: Training, params: Float[np.ndarray, " P"]
) -> dict[str, np.ndarray]:
    """The connections of a trial before its first step, by the names of copies; {} without any.

    `params` are its first weights.

    `fixed`: Mocanu et al. 2018, "Scalable training of artificial neural networks with adaptive
    sparse connectivity" (Nature Communications 9), with the same share in each layer.
    `kept`: weights that are 0 already.
    """
    if not _has_connections(program):
        return {}
    sparsity = training.compression.sparsity
    rng = connections_rng(training.train.seed, training.train.stream)

    def one(name: str, shape: Any) -> np.ndarray:
        may_be_cut = is_kernel(name, shape) and not is_frozen(training.updates, name)
        whole = np.full(shape.shape, KEPT if may_be_cut else FREE, np.int8)
        return random_cut(whole, sparsity.share, rng) if sparsity.name in RANDOM else whole

    own = mapped(one, abstract_model(program.of_its_own(training)).params)
    whole = abstract_model(program).params
    found = {_CONNECTIONS: joined(padded(own, whole)).astype(np.int8)}
    if sparsity.name == "kept":
        trees = (parted(program, vector) for vector in (found[_CONNECTIONS], params))
        found[_CONNECTIONS] = np.asarray(joined(_zeros_cut(*trees))).astype(np.int8)
    if sparsity.name == "rigl":
        found[_GRADIENT] = np.zeros(weight_count(program), np.float32)
    if _rewinds(program):
        found[_EARLY] = params
    return found


def connection_shapes(program: Program) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of `first_connections`."""
    if not _has_connections(program):
        return {}
    shape, is_rigl = (weight_count(program),), program.template.compression.sparsity.name == "rigl"
    asked = {_GRADIENT: is_rigl, _EARLY: _rewinds(program)}
    more = {name: jax.ShapeDtypeStruct(shape, np.float32) for name in asked if asked[name]}
    return {_CONNECTIONS: jax.ShapeDtypeStruct(shape, np.int8), **more}


def _rewinds(program: Program) -> bool:
    """Whether the kept weights of a program's lanes go back to earlier ones."""
    sparsity = program.template.compression.sparsity
    is_asked = sparsity.name == "magnitude" and sparsity.rewind is not None
    return is_sparse(program) and is_asked


def connections_of(lane: Lane) -> Int8[Array, " P"] | None:
    """The connections of a lane, None if it has none."""
    return None if lane.copies is None else lane.copies.get(_CONNECTIONS)


def only_kept(gradient: Gradient, connections: Int8[Array, " P"] | None) -> Gradient:
    """The gradient where cut weights are 0, with zeros for them, so that no norm counts them."""
    if connections is None:
        return gradient

    def of_kept(params: Any) -> tuple[Any, Any, Any]:
        loss, variables, gradients = gradient(masked(connections, params))
        return loss, variables, masked(connections, gradients)

    return of_kept


def thinned(lane: Lane, gradient: Float[Array, " P"]) -> Lane:
    """A lane after a step whose cut weights are 0, in its weights and in their copies.

    `gradient` is that of all weights, for connections that grow by it.
    """
    connections = connections_of(lane)
    if connections is None or lane.copies is None:
        return lane
    copies = {
        name: masked(connections, copy) if name in ("average", "slow") else copy
        for name, copy in lane.copies.items()
    }
    copies |= {_GRADIENT: gradient} if _GRADIENT in copies else {}
    return lane._replace(params=masked(connections, lane.params), copies=copies)


def masked(connections: Int8[Array, " P"], vector: Float[Array, " P"]) -> Float[Array, " P"]:
    """A number for each weight, 0 for those that are cut."""
    return jnp.where(connections == CUT, jnp.zeros((), vector.dtype), vector)


def renewed(program: Program, spec: Training, lane: Lane, steps: Any) -> Lane:
    """A lane at the end of an epoch, which has these steps, with its connections renewed."""
    assert lane.copies is not None, "sparse lanes have connections"
    trained = lane.step / steps / spec.train.epochs
    after = _renewed(program, spec.compression.sparsity, lane, lane.copies, trained)
    lane = lane._replace(copies={**lane.copies, _CONNECTIONS: after})
    if _rewinds(program):
        lane = _rewound(spec.compression.sparsity, lane, trained, 1 / spec.train.epochs)
    return thinned(lane, lane.copies.get(_GRADIENT))


def _rewound(sparsity: Sparsity, lane: Lane, trained: Any, epoch: Any) -> Lane:
    """A lane after this share of the training, with earlier weights if now all zeros are there.

    An `epoch` is that share of the training. Averages go back, too.

    Source: Frankle et al. 2020, "Linear mode connectivity and the lottery ticket hypothesis"
    (arXiv:1912.05671), Algorithm 2, with one round.
    """
    assert sparsity.rewind is not None, "such lanes rewind"
    begin = BEGIN if sparsity.begin is None else sparsity.begin
    last = jnp.maximum(begin, _end(sparsity)) - _ROUNDING
    is_now = (trained >= last) & (trained - epoch < last)
    early = jnp.where(trained <= sparsity.rewind + _ROUNDING, lane.params, lane.copies[_EARLY])
    moved = {name for name in ("average", "slow") if name in lane.copies}
    copies = {name: jnp.where(is_now, early, lane.copies[name]) for name in moved}
    params = jnp.where(is_now, early, lane.params)
    return lane._replace(params=params, copies={**lane.copies, **copies, _EARLY: early})


def _renewed(
    program: Program,
    sparsity: Sparsity,
    lane: Lane,
    copies: Mapping[str, Array],
    trained: Float[Array, ""],
) -> Int8[Array, " P"]:
    """The connections of a lane after this share of the training."""
    connections = copies[_CONNECTIONS]
    share = scheduled_share(sparsity, trained)
    if sparsity.name == "magnitude" and sparsity.unit == "unit":
        return joined(_units_cut(parted(program, connections), parted(program, lane.params), share))
    if sparsity.name == "magnitude" and sparsity.scope == "global":
        return smallest_cut(connections, lane.params, share)
    key = mask_key(lane.key, lane.step)

    def one(name: str, connections: Array, weights: Array, gradient: Array) -> Array:
        if sparsity.name == "magnitude":
            return smallest_cut(connections, weights, share)
        if not is_kernel(name, weights):
            return connections
        if sparsity.name == "n_of_m":
            cut = group_cut(connections, weights, sparsity.n, sparsity.m)
            begin = BEGIN if sparsity.begin is None else sparsity.begin
            return jnp.where(trained >= begin - _ROUNDING, cut, connections)
        number = zlib.crc32(name.encode())
        is_rigl = sparsity.name == "rigl"
        scores = gradient if is_rigl else standard_normal(key, number, weights.shape)
        return replaced(connections, weights, scores, replaced_part(sparsity, trained))

    vectors = connections, lane.params, copies.get(_GRADIENT, lane.params)
    return joined(mapped(one, *(parted(program, vector) for vector in vectors)))


def _units_cut(connections: Any, weights: Any, share: Float[Array, ""]) -> Any:
    """The trees of connections of which this share of the units of each hidden layer is cut.

    A unit's bias is cut with it, and so are its factor and offset in the norm after its layer.
    """
    units: dict[str, Array] = {}

    def kernel(name: str, connections: Array, weights: Array) -> Array:
        if not is_kernel(name, weights) or is_head(name):
            return connections
        after = unit_cut(connections, weights, share)
        units[name.rpartition("/")[0]] = after.max(tuple(range(after.ndim - 1)))
        return after

    after = mapped(kernel, connections, weights)

    def of_unit(name: str, connections: Array) -> Array:
        own = _unit_of(name, units)
        if own is None or connections.shape != own.shape:
            return connections
        return jnp.where(own == CUT, CUT, FREE).astype(jnp.int8)

    return mapped(of_unit, after)


def _zeros_cut(connections: Any, weights: Any) -> Any:
    """The trees of connections of which the weights are cut that are 0.

    So are the bias of a unit that reads nothing, its factor and offset in a norm, if they are 0.
    """
    units: dict[str, Array] = {}

    def kernel(name: str, connections: Array, weights: Array) -> Array:
        if not is_kernel(name, weights):
            return connections
        after = jnp.where((connections == KEPT) & (weights == 0), CUT, connections)
        inputs = tuple(range(after.ndim - 1))
        if not is_head(name):
            units[name.rpartition("/")[0]] = (after == CUT).any(inputs) & (after != KEPT).all(
                inputs
            )
        return after

    def of_unit(name: str, connections: Array, weights: Array) -> Array:
        own = _unit_of(name, units)
        if own is None or connections.shape != own.shape:
            return connections
        return jnp.where(own & (weights == 0), CUT, connections)

    return mapped(of_unit, mapped(kernel, connections, weights), weights)


def _unit_of(name: str, units: Mapping[str, Array]) -> Array | None:
    """What is known of the units of the layer to which a vector belongs; None for another array."""
    layer = name.rpartition("/")[0]
    kind, _, number = layer.partition("/")
    # The last factor of a layer of low rank has its units.
    ends = [f"{each}/{number}" for each in ("linears", "convs")]
    layers = [*ends, *(f"{end}/right" for end in ends)] if kind == "norms" else [layer]
    return next((units[each] for each in layers if each in units), None)


def scheduled_share(sparsity: Sparsity, trained: Float[Array, ""]) -> Float[Array, ""]:
    """The share of zeros by `magnitude` after this share of the training.

    Source: Zhu and Gupta 2017, "To prune, or not to prune" (arXiv:1710.01878), Equation 1 with an
    initial sparsity of 0.
    """
    begin = BEGIN if sparsity.begin is None else sparsity.begin
    # Rounding must not move an end by an epoch.
    part = (trained - begin + _ROUNDING) / jnp.maximum(_end(sparsity) - begin, _ROUNDING)
    return sparsity.share * (1 - (1 - jnp.clip(part, 0.0, 1.0)) ** 3)


def replaced_part(sparsity: Sparsity, trained: Float[Array, ""]) -> Float[Array, ""]:
    """The part of the kept weights that `set` and `rigl` replace after this share of the training.

    Source: Evci et al. 2020, "Rigging the lottery" (arXiv:1911.11134), Section 3, the function
    f_decay; `set` has it there, too.
    """
    drop = DROP if sparsity.drop is None else sparsity.drop
    end = _end(sparsity)
    falling = drop / 2 * (1 + jnp.cos(jnp.pi * trained / jnp.maximum(end, _ROUNDING)))
    return jnp.where(trained < end - _ROUNDING, falling, 0.0)


def _end(sparsity: Sparsity) -> Any:
    return END if sparsity.end is None else sparsity.end


_ROUNDING = 1e-6
