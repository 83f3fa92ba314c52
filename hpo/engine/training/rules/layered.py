"""Optimizers whose steps read the arrays of each layer as a whole, beside LAMB.

LARS and NovoGrad read norms, which the zeros of padding do not change. AdaFactor and Muon read
means and shapes: they need their own sizes, and their states are trees of the layers' arrays.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from hpo.engine.program import is_off
from hpo.engine.training.optimizers import weight_decay
from hpo.engine.training.techniques.layers import Layers, by_layers, is_head, mapped
from hpo.spec.sections.optimizers import layered as specs

Parts = list[optax.GradientTransformation]


def lars(spec: specs.Lars, layers: Layers) -> Parts:
    ratio = by_layers(optax.scale_by_trust_ratio(trust_coefficient=spec.trust), layers)
    momentum = [] if is_off(spec.momentum) else [optax.trace(spec.momentum)]
    return [*weight_decay(spec), ratio, _at_rate(), *momentum]


def novograd(spec: specs.NovoGrad, layers: Layers) -> Parts:
    scale = _by_norms(spec.beta2, spec.epsilon, layers)
    return [scale, *weight_decay(spec), optax.trace(spec.beta1)]


def adafactor(spec: specs.AdaFactor, layers: Layers) -> Parts:
    least = spec.factored_from
    scale = optax.chain(
        optax.scale_by_factored_rms(decay_rate=spec.decay, min_dim_size_to_factor=least),
        optax.clip_by_block_rms(spec.clip),
        optax.scale_by_param_block_rms(),
    )
    return [_of_trees(scale, layers), *weight_decay(spec)]


def muon(spec: specs.Muon, layers: Layers) -> Parts:
    # The rate of -1 takes back the sign that Optax gives a step.
    step = contrib.muon(
        -1.0,
        beta=spec.momentum,
        eps=spec.epsilon,
        adam_b1=spec.beta1,
        adam_b2=spec.beta2,
        muon_weight_dimension_numbers=lambda tree: mapped(sides, tree),
    )
    return [_of_trees(step, layers), *weight_decay(spec)]


def sides(name: str, array: Any) -> contrib.MuonDimensionNumbers | None:
    """The inputs and the outputs of a kernel of a hidden layer; None for other arrays."""
    if array.ndim not in (2, 4) or is_head(name) or name.rpartition("/")[2] != "kernel":
        return None
    return contrib.MuonDimensionNumbers(tuple(range(array.ndim - 1)), array.ndim - 1)


class _Norms(NamedTuple):
    """The mean square norm of each array's gradients, and how many there were."""

    count: Any
    squares: Any  # in a column: an array as long as the weights has one number for each of them


def _by_norms(decay: Any, epsilon: Any, layers: Layers) -> optax.GradientTransformation:
    """Divides the gradient of each array by a mean of its norms, which starts at the first one.

    Source: Ginsburg et al. 2019, "Stochastic gradient methods with layer-wise adaptive moments"
    (arXiv:1905.11286), Algorithm 1.
    """

    def init(params: Any) -> _Norms:
        count = len(jax.tree.leaves(layers.part(params)))
        return _Norms(jnp.zeros((), jnp.int32), jnp.zeros((count, 1)))

    def update(gradients: Any, state: _Norms, _: Any = None) -> tuple[Any, _Norms]:
        arrays, tree = jax.tree.flatten(layers.part(gradients))
        new = jnp.stack([jnp.square(array).sum() for array in arrays])[:, None]
        mean = decay * state.squares + (1 - decay) * new
        squares = jnp.where(state.count == 0, new, mean)
        sizes = jnp.sqrt(squares[:, 0]) + epsilon
        scaled = [array / size for array, size in zip(arrays, sizes, strict=True)]
        return layers.join(jax.tree.unflatten(tree, scaled)), _Norms(state.count + 1, squares)

    return optax.GradientTransformation(init, update)


def _of_trees(transformation: Any, layers: Layers) -> optax.GradientTransformation:
    """A transformation of the tree of the layers' arrays, which is its state's, too."""

    def update(gradients: Any, state: Any, params: Any) -> tuple[Any, Any]:
        trees = layers.part(gradients), state, layers.part(params)
        step, state = transformation.update(*trees)
        return layers.join(step), state

    return optax.GradientTransformation(
        lambda params: transformation.init(layers.part(params)), update
    )


def _at_rate() -> optax.GradientTransformationExtraArgs:
    """Scales a direction by the learning rate, before a momentum that keeps steps of any rate."""

    def update(direction: Any, state: Any, _: Any = None, *, rate: Any, **__: Any) -> Any:
        return rate * direction, state

    return optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), update)
