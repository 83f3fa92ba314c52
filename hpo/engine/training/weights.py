"""A model's weights as one vector, and as the tree of arrays that its layers read.

A lane keeps its weights in one vector. An optimizer's step, or a move in or out of the lanes, is
then one operation instead of one for each array. This takes a quarter off the compile time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from hpo.engine.models.abstract import abstract_model
from hpo.engine.program import Program


def weight_count(program: Program) -> int:
    """The number of trained weights, without variables."""
    return sum(math.prod(shape.shape) for shape in _shapes(program))


def joined(tree: Any) -> Any:
    """All weights of a tree as one vector; a NumPy array if all leaves are."""
    leaves = jax.tree.leaves(tree)
    xp: Any = np if all(isinstance(leaf, np.ndarray) for leaf in leaves) else jnp
    return xp.concatenate([leaf.reshape(-1) for leaf in leaves])


def parted(program: Program, vector: Any) -> Any:
    """The tree of weights from the vector of `joined`."""
    leaves, start = [], 0
    for shape in _shapes(program):
        end = start + math.prod(shape.shape)
        leaves.append(_slice(vector, start, end).reshape(shape.shape))
        start = end
    return jax.tree.unflatten(jax.tree.structure(abstract_model(program).params), leaves)


def padded(own: Any, shapes: Any) -> Any:
    """A tree of a trial's own arrays in the leading corners of larger ones, zeros elsewhere."""
    if isinstance(shapes, Mapping):
        mine = own if isinstance(own, Mapping) else {}
        return {name: padded(mine.get(name), shape) for name, shape in shapes.items()}
    if own is not None and own.shape == shapes.shape:
        return own
    wide = np.zeros(shapes.shape, shapes.dtype)
    if own is not None:
        wide[_corner(own)] = own
    return wide


def cut(wide: Any, shapes: Any) -> Any:
    """The trial's own arrays from the result of `padded`."""
    if isinstance(shapes, Mapping):
        return {name: cut(wide[name], shape) for name, shape in shapes.items()}
    return wide[_corner(shapes)]


def narrowed(program: Program, narrow: Program, lane: Any) -> Any:
    """A lane for a program of smaller sizes: the leading corners of the lane's arrays."""
    model = abstract_model(narrow)

    def smaller(leaf: Array) -> Array:
        is_whole = _is_vector(program, leaf)
        return joined(cut(parted(program, leaf), model.params)) if is_whole else leaf

    copies = lane.copies and {
        name: cut(copy, model.variables) if name == "variables" else smaller(copy)
        for name, copy in lane.copies.items()
    }
    return lane._replace(
        params=smaller(lane.params),
        variables=cut(lane.variables, model.variables),
        optimizer=jax.tree.map(smaller, lane.optimizer),
        copies=copies,
    )


def widened(program: Program, narrow: Program, lane: Any, small: Any) -> Any:
    """`lane` with the corners that `narrowed` took replaced by `small`."""

    def corner(wide: Array, small: Array) -> Array:
        return wide.at[_corner(small)].set(small)

    def larger(wide: Array, small: Array) -> Array:
        if not _is_vector(program, wide):
            return small
        return joined(jax.tree.map(corner, parted(program, wide), parted(narrow, small)))

    copies = lane.copies and {
        name: jax.tree.map(corner if name == "variables" else larger, copy, small.copies[name])
        for name, copy in lane.copies.items()
    }
    return small._replace(
        params=larger(lane.params, small.params),
        variables=jax.tree.map(corner, lane.variables, small.variables),
        optimizer=jax.tree.map(larger, lane.optimizer, small.optimizer),
        copies=copies,
    )


def _is_vector(program: Program, leaf: Any) -> bool:
    """Whether an array holds a number for each weight, as most arrays of optimizers do."""
    return bool(leaf.shape == (weight_count(program),))


def _slice(vector: Any, start: int, end: int) -> Any:
    # JAX's indexing would need 64-bit numbers for the largest models.
    is_host = isinstance(vector, np.ndarray)
    return vector[start:end] if is_host else lax.slice_in_dim(vector, start, end)


def _corner(small: Any) -> tuple[slice, ...]:
    return tuple(slice(size) for size in small.shape)


def _shapes(program: Program) -> list[Any]:
    return jax.tree.leaves(abstract_model(program).params)
