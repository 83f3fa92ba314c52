"""The section `updates`: what happens to gradients on their way to any optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax

from hpo.engine.program import is_off
from hpo.spec.sections.updates import Updates

# From weights to the loss, the model's variables and the gradients there, for one batch.
Gradient: TypeAlias = Callable[[Any], tuple[Any, Any, Any]]


class Layers(NamedTuple):
    """Converts between the vector of all weights and the tree of the layers' arrays."""

    part: Callable[[Any], Any]
    join: Callable[[Any], Any]


def sharpened(gradient: Gradient, updates: Updates) -> Gradient:
    """`updates.sam_radius`: the gradient at the weights that a step of this length uphill reaches.

    The loss and the model's variables, such as batch statistics, stay those of the weights
    themselves. Both gradients have the same batch and the same dropout masks.

    Source: Foret et al. 2021, "Sharpness-Aware Minimization" (arXiv:2010.01412), Equations 2 and 3
    for p = 2.
    """
    radius = updates.sam_radius
    if is_off(radius):
        return gradient

    def uphill(params: Any) -> tuple[Any, Any, Any]:
        loss, variables, gradients = gradient(params)
        # A gradient of zeros has no direction: without the bound the weights would become NaN.
        scale = radius / jnp.maximum(jnp.linalg.norm(gradients), _LEAST_NORM)
        _, _, gradients = gradient(params + scale * gradients)
        return loss, variables, gradients

    return uphill


_LEAST_NORM = 1e-12


def clips(spec: Any, updates: Updates, layers: Layers) -> list[optax.GradientTransformation]:
    """The clipping that `updates` asks for, or the optimizer's own `clip_norm`; without state."""
    parts = []
    if updates.clip_value is not None:
        parts.append(optax.clip(updates.clip_value))
    if updates.clip_layer_norm is not None:
        parts.append(by_layers(_clip_each(updates.clip_layer_norm), layers))
    own = getattr(spec, "clip_norm", None)
    clip_norm = own if updates.clip_norm is None else updates.clip_norm
    if clip_norm is not None:
        parts.append(optax.clip_by_global_norm(clip_norm))
    return parts


def _clip_each(norm: Any) -> optax.GradientTransformation:
    """Clips each array to a Euclidean norm, as Keras' `clipnorm` does."""
    one = optax.clip_by_global_norm(norm)
    return optax.stateless(
        lambda updates, _: jax.tree.map(lambda u: one.update(u, one.init(u))[0], updates)
    )


def by_layers(
    transformation: optax.GradientTransformation, layers: Layers
) -> optax.GradientTransformation:
    """A transformation without a state, applied to the tree of the layers' arrays."""

    def update(vector: Any, params: Any) -> Any:
        tree = layers.part(params)
        changed, _ = transformation.update(layers.part(vector), transformation.init(tree), tree)
        return layers.join(changed)

    return optax.stateless(update)


def accumulated(chain: optax.GradientTransformation, updates: Updates) -> Any:
    """`updates.accumulate`: a chain that averages the gradients of n batches for one update."""
    if updates.accumulate is None:
        return chain
    steps = optax.MultiSteps(chain, lambda _: jnp.asarray(updates.accumulate, jnp.int32))
    return steps.gradient_transformation()
