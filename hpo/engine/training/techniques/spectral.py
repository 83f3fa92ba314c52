"""`updates.spectral_norm`: kernels whose largest singular value stays below a bound.

Source: Gouk et al. 2021, "Regularisation of neural networks by enforcing Lipschitz continuity"
(arXiv:1804.04368), Algorithm 2; that the direction goes on from step to step is Miyato et al. 2018,
"Spectral normalization for generative adversarial networks" (arXiv:1802.05957), Algorithm 1.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hpo.engine.models.abstract import is_kernel, name_of
from hpo.engine.training.lane import Lane
from hpo.engine.training.techniques.layers import Layers
from hpo.engine.training.techniques.updates import is_frozen
from hpo.spec.sections.updates import Updates

# One is too few once several singular values are at the bound: the largest then exceeds it by 20 %.
_ITERATIONS = 4


def within_norm(updates: Updates, layers: Layers, lane: Lane) -> Lane:
    """A lane after a step, its kernels scaled to `updates.spectral_norm` at most."""
    if updates.spectral_norm is None:
        return lane
    assert lane.copies is not None, "it holds the directions"
    params, directions = bounded(updates, layers, lane.params, lane.copies["directions"])
    return lane._replace(params=params, copies={**lane.copies, "directions": directions})


def first_directions(weights: Any) -> list[np.ndarray]:
    """The direction that each kernel of a tree of first weights stretches most."""
    return [np.linalg.svd(_matrix(kernel))[2][0] for _, kernel in _kernels(weights)]


def direction_shapes(weights: Any) -> list[jax.ShapeDtypeStruct]:
    """The shapes of `first_directions` for the shapes of weights."""
    sizes = [kernel.shape[-1] for _, kernel in _kernels(weights)]
    return [jax.ShapeDtypeStruct((size,), np.float32) for size in sizes]


def bounded(
    updates: Updates, layers: Layers, params: Any, directions: list[Any]
) -> tuple[Any, list[Any]]:
    """Weights whose kernels are scaled to the norm at most, and the directions at this step."""
    after: dict[str, Any] = {}
    most: Any = updates.spectral_norm
    moved = []
    for (name, kernel), direction in zip(_kernels(layers.part(params)), directions, strict=True):
        matrix, norm = _matrix(kernel), jnp.zeros(())
        for _ in range(_ITERATIONS):
            norm, direction = power_iteration(matrix, direction)
        factor = jnp.minimum(1.0, most / jnp.maximum(norm, 1e-12))
        after[name] = kernel if is_frozen(updates, name) else kernel * factor
        moved.append(direction)

    def one(path: Any, weights: Any) -> Any:
        return after.get(name_of(path), weights)

    return layers.join(jax.tree_util.tree_map_with_path(one, layers.part(params))), moved


def power_iteration(
    matrix: Float[Array, "N M"], direction: Float[Array, " M"]
) -> tuple[Float[Array, ""], Float[Array, " M"]]:
    """The estimated largest singular value of a matrix, and the next direction for an estimate."""
    left = _unit(matrix @ direction)
    right = left @ matrix
    return jnp.linalg.norm(right), _unit(right)


def _unit(vector: Any) -> Any:
    return vector / jnp.maximum(jnp.linalg.norm(vector), 1e-12)


def _matrix(kernel: Any) -> Any:
    """A kernel as a matrix from all that a unit reads to the units."""
    return kernel.reshape(-1, kernel.shape[-1])


def _kernels(weights: Any) -> list[tuple[str, Any]]:
    found = jax.tree_util.tree_leaves_with_path(weights)
    named = [(name_of(path), leaf) for path, leaf in found]
    return [(name, leaf) for name, leaf in named if is_kernel(name, leaf)]
