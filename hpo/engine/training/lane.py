"""A lane: the state of one trial in training, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int, UInt32

from hpo.engine.training.batches import AnyArray


class Lane(NamedTuple):
    """The state of a trial in training, as a checkpoint holds it."""

    params: Float[AnyArray, " P"]  # all weights, one after the other (see `weights`)
    variables: Any  # the model's other arrays: running statistics, carries
    optimizer: Any  # arrays with a number for each weight, and single numbers
    key: UInt32[AnyArray, "2"]  # the trial's own random stream
    step: Int[AnyArray, ""]  # steps trained since the start
    loss_sum: Float[AnyArray, ""]  # of this epoch's steps so far
    copies: Any = None  # averages of the weights and the like, by name, if the spec asks for them
    scaling: Any = None  # the scale of the loss in float16, and the steps since that changed
    norms: Float[AnyArray, " N"] | None = None  # of this epoch's gradients, if the spec asks
    row_losses: Float[AnyArray, " N"] | None = None  # of training rows, if sampling reads them


def lane_to_arrays(lane: Any) -> dict[str, np.ndarray]:
    """A lane on the host as named arrays, for a checkpoint."""
    leaves = jax.tree_util.tree_leaves_with_path(lane)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def lane_from_arrays(like: Any, arrays: Mapping[str, np.ndarray]) -> Any | None:
    """The lane of a checkpoint's arrays; None if they do not match the shapes of `like`."""
    expected = lane_to_arrays(like)
    if expected.keys() != arrays.keys() or any(
        arrays[name].shape != leaf.shape or arrays[name].dtype != leaf.dtype
        for name, leaf in expected.items()
    ):
        return None
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in expected])
