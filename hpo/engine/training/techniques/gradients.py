"""Changes of gradients in `updates` that treat the layers of a model apart, and noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, UInt32

from hpo.engine.models.abstract import is_kernel
from hpo.engine.models.dropout import mask_key, standard_normal
from hpo.engine.program import is_off
from hpo.engine.training.techniques.layers import (
    Gradient,
    Layers,
    by_layers,
    is_head,
    mapped,
)
from hpo.spec.sections.updates import Updates

# Brock et al. 2021, Equation 3: weights that start at zero would otherwise never move.
_LEAST_NORM = 1e-3
# Neelakantan et al. 2015, Equation 1: the power of the step by which the variance falls.
_FALL = 0.55
# Layers of models, and augmentations, whose draws have the same key, have other numbers.
_GRADIENTS, _WEIGHTS = 20_000, 30_000


class Moment(NamedTuple):
    """A step of a trial, and the trial's own key."""

    key: UInt32[Array, "2"]
    step: Int[Array, ""]


def centralized(layers: Layers) -> optax.GradientTransformation:
    """`updates.centralize`: the gradient of each unit's weights less its mean.

    Source: Yong et al. 2020, "Gradient centralization" (arXiv:2004.01461), Equation 1.
    """

    def one(name: str, gradient: Any) -> Any:
        if not is_kernel(name, gradient):
            return gradient
        return gradient - gradient.mean(_inputs(gradient), keepdims=True)

    return by_layers(optax.stateless(lambda tree, _: mapped(one, tree)), layers)


def clipped_adaptively(share: Any, layers: Layers) -> optax.GradientTransformation:
    """`updates.clip_adaptive`: each unit's gradient clipped to a share of the unit's weights.

    A vector is one unit, and the head is left out.

    Source: Brock et al. 2021, "High-performance large-scale image recognition without
    normalization" (arXiv:2102.06171), Equation 3.
    """

    def one(name: str, gradient: Any, weights: Any) -> Any:
        if is_head(name):
            return gradient
        most = share * jnp.maximum(_unit_norm(weights), _LEAST_NORM)
        norm = _unit_norm(gradient)
        return jnp.where(norm < most, gradient, gradient * (most / jnp.maximum(norm, 1e-6)))

    return by_layers(optax.stateless(lambda tree, params: mapped(one, tree, params)), layers)


def noisy(variance: Any, layers: Layers, moment: Moment) -> optax.GradientTransformation:
    """`updates.noise`: gradients plus normal noise, whose variance falls with the step.

    Source: Neelakantan et al. 2015, "Adding gradient noise improves learning for very deep
    networks" (arXiv:1511.06807), Equation 1.
    """
    spread = jnp.sqrt(variance / (1 + moment.step.astype(jnp.float32)) ** _FALL)

    def add(vector: Any, _: Any) -> Any:
        return vector + spread * standard_noise(vector, layers, moment, _GRADIENTS)

    return optax.stateless(add)


def at_noisy_weights(
    gradient: Gradient, updates: Updates, layers: Layers, moment: Moment
) -> Gradient:
    """`updates.weight_noise`: the gradient at weights that have noise of this standard deviation.

    Source: Graves 2011, "Practical variational inference for neural networks" (NeurIPS), Section 6.
    """
    spread = updates.weight_noise
    if is_off(spread):
        return gradient

    def at(params: Any) -> tuple[Any, Any, Any]:
        return gradient(params + spread * standard_noise(params, layers, moment, _WEIGHTS))

    return at


def unit_axes(array: Any) -> tuple[int, ...]:
    """The axes over which the numbers of one unit extend: all but the last; a vector is a unit."""
    return _inputs(array) if array.ndim > 1 else tuple(range(array.ndim))


def _unit_norm(array: Float[Array, "... N"]) -> Float[Array, "... #N"]:
    return jnp.sqrt(jnp.square(array).sum(unit_axes(array), keepdims=True))


def _inputs(array: Any) -> tuple[int, ...]:
    return tuple(range(array.ndim - 1))


def standard_noise(vector: Any, layers: Layers, moment: Moment, first: int) -> Any:
    """Standard normal numbers by the place of each weight in its layer's array.

    `first` is the number of the first array: other uses of the moment have other numbers.
    """
    tree = layers.part(vector)
    leaves, key = jax.tree.leaves(tree), mask_key(*moment)
    drawn = [standard_normal(key, first + i, leaf.shape) for i, leaf in enumerate(leaves)]
    joined: Callable[[Any], Any] = layers.join
    return joined(jax.tree.unflatten(jax.tree.structure(tree), drawn))
