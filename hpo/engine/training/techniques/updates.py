"""The section `updates`: what happens to gradients on their way to any optimizer."""

from __future__ import annotations

import zlib
from fnmatch import fnmatchcase
from typing import Any

import jax
import jax.numpy as jnp
import optax

from hpo.data.dataset import DataSet
from hpo.engine.models.abstract import STEPS, name_of
from hpo.engine.models.dropout import mask_key, random_words
from hpo.engine.program import is_off
from hpo.engine.training.techniques.gradients import Moment, centralized, clipped_adaptively
from hpo.engine.training.techniques.layers import Gradient, Layers, by_layers, mapped
from hpo.engine.training.techniques.sampling import part_rows
from hpo.errors import HpoError
from hpo.spec.experiment import Training
from hpo.spec.sections.updates import Updates


def sharpened(gradient: Gradient, updates: Updates) -> Gradient:
    """`updates.sam_radius`: the gradient at the weights that a step of this length uphill reaches.

    With `sam_adaptive` the length is measured in units of each weight's size.

    The loss and the model's variables, such as batch statistics, stay those of the weights
    themselves. Both gradients have the same batch and the same dropout masks.

    Source: Foret et al. 2021, "Sharpness-Aware Minimization" (arXiv:2010.01412), Equations 2 and 3
    for p = 2; Kwon et al. 2021, "ASAM" (arXiv:2102.11600), Equation 9, for each weight alone.
    """
    radius = updates.sam_radius
    if is_off(radius):
        return gradient

    def at_uphill(params: Any) -> tuple[Any, Any, Any]:
        loss, variables, gradients = gradient(params)
        # A gradient of zeros has no direction: without the bound the weights would become NaN.
        sizes = jnp.abs(params) + _LEAST_SIZE if updates.sam_adaptive else None
        scaled = gradients if sizes is None else sizes * gradients
        scale = radius / jnp.maximum(jnp.linalg.norm(scaled), _LEAST_NORM)
        uphill = scaled if sizes is None else sizes * scaled
        _, _, gradients = gradient(params + scale * uphill)
        return loss, variables, gradients

    return at_uphill


_LEAST_NORM = 1e-12
# Kwon et al. 2021, Section 3: what is added to the size of each weight.
_LEAST_SIZE = 0.01


def clips(spec: Any, updates: Updates, layers: Layers) -> list[optax.GradientTransformation]:
    """The centring and clipping that `updates` asks for, or the optimizer's own `clip_norm`.

    They have no state.
    """
    parts = [centralized(layers)] if updates.centralize else []
    if updates.clip_adaptive is not None:
        parts.append(clipped_adaptively(updates.clip_adaptive, layers))
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


def check_updates(training: Training, data: DataSet) -> None:
    """Refuse to accumulate more batches than the training has, which would change no weight.

    Raises:
        HpoError: with what to write instead.
    """
    rows = part_rows(training.sampling.share, data.train_rows)
    batches = training.train.epochs * (rows // training.data.step_rows)
    if (training.updates.accumulate or 1) > batches:
        raise HpoError(
            f"updates.accumulate: {training.updates.accumulate} batches for one update are more "
            f"than the {batches} of the whole training: write a smaller number."
        )


def accumulated(chain: optax.GradientTransformation, updates: Updates) -> Any:
    """`updates.accumulate`: a chain that averages the gradients of n batches for one update."""
    if updates.accumulate is None:
        return chain
    steps = optax.MultiSteps(chain, lambda _: jnp.asarray(updates.accumulate, jnp.int32))
    return steps.gradient_transformation()


def thawed(gradient: Gradient, updates: Updates, layers: Layers) -> Gradient:
    """`updates.freeze`: the gradient with zeros for frozen weights, so that no norm counts them."""
    if not updates.freeze:
        return gradient

    def of_trained(params: Any) -> tuple[Any, Any, Any]:
        loss, variables, gradients = gradient(params)
        return loss, variables, _kept(updates, layers, jnp.zeros_like(gradients), gradients)

    return of_trained


def kept_frozen(updates: Updates, layers: Layers, before: Any, after: Any) -> Any:
    """Weights and state after a step, with what frozen weights had before it.

    An array of the state that is as long as the weights has a number for each of them.
    """
    if not updates.freeze:
        return after
    size = before[0].shape

    def one(old: Any, new: Any) -> Any:
        return _kept(updates, layers, old, new) if new.shape == size else new

    return jax.tree.map(one, before, after)


def _kept(updates: Updates, layers: Layers, before: Any, after: Any) -> Any:
    """`after` with the numbers of `before` for frozen weights, array by array."""

    def one(path: Any, old: Any, new: Any) -> Any:
        name = name_of(path)
        return old if is_frozen(updates, name) else new

    trees = layers.part(before), layers.part(after)
    return layers.join(jax.tree_util.tree_map_with_path(one, *trees))


def is_frozen(updates: Updates, name: str) -> bool:
    """Whether an array of weights keeps its values."""
    return any(_matches(pattern, name) for pattern in updates.freeze)


def chosen(updates: Updates, layers: Layers, params: Any, moment: Moment) -> Any:
    """`updates.update_share`: whether each weight changes at a step; None where all do.

    A block is the weights into one unit of an array. Each is drawn for itself, by the name of the
    array and the place of the unit. The batches of one update have the same blocks.

    Source: Nesterov 2012, "Efficiency of coordinate descent methods on huge-scale optimization
    problems" (SIAM Journal on Optimization 22), Algorithm 1.1, with several blocks a step.
    """
    share = updates.update_share
    if share is None:
        return None
    batches = 1 if updates.accumulate is None else jnp.asarray(updates.accumulate, jnp.int32)
    key = mask_key(moment.key, moment.step // batches)

    def one(name: str, weights: Any) -> Any:
        words = random_words(key, zlib.crc32(name.encode()), weights.shape[-1:])
        # The 24 upper bits, so that a share of 1 is above all of them.
        is_drawn = (words >> 8).astype(jnp.float32) * 2.0**-24 < share
        return jnp.broadcast_to(is_drawn, weights.shape)

    return layers.join(mapped(one, layers.part(params)))


def only_of(gradient: Gradient, is_chosen: Any) -> Gradient:
    """The gradient with zeros for weights that are not chosen, so that no norm counts them."""
    if is_chosen is None:
        return gradient

    def of_chosen(params: Any) -> tuple[Any, Any, Any]:
        loss, variables, gradients = gradient(params)
        return loss, variables, jnp.where(is_chosen, gradients, 0)

    return of_chosen


def kept_others(is_chosen: Any, before: Any, after: Any) -> Any:
    """Weights and state after a step, with what weights that are not chosen had before it."""
    if is_chosen is None:
        return after

    def one(old: Any, new: Any) -> Any:
        return jnp.where(is_chosen, new, old) if new.shape == is_chosen.shape else new

    return jax.tree.map(one, before, after)


def rated(updates: Updates, layers: Layers, direction: Any) -> Any:
    """`updates.rates`: a step with the factors of its layers; it may be decay, too."""
    rates = {name: getattr(updates.rates, name) for name in type(updates.rates).model_fields}
    if not rates:
        return direction

    def one(path: Any, step: Any) -> Any:
        name = name_of(path)
        for pattern, factor in rates.items():
            if _matches(pattern, name):
                step = factor * step
        return step

    return layers.join(jax.tree_util.tree_map_with_path(one, layers.part(direction)))


def check_patterns(updates: Updates, params: Any) -> None:
    """Refuse a pattern that names none of a model's layers.

    Raises:
        HpoError: with the names of the layers.
    """
    names = [name_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    found = [("updates.freeze", pattern) for pattern in updates.freeze]
    found += [("updates.rates", pattern) for pattern in type(updates.rates).model_fields]
    for where, pattern in found:
        if not any(_matches(pattern, name) for name in names):
            layers = dict.fromkeys(name.rpartition("/")[0] or name for name in names)
            raise HpoError(
                f"{where}: '{pattern}' names no layer of this model, which has "
                f"{', '.join(layers)}: name one of them, or some as in 'head*'."
            )


def _matches(pattern: str, name: str) -> bool:
    """Whether a pattern names an array, or a layer that it is in.

    The trained steps between the levels of a layer's weights are in that layer, too.
    """
    names = name, name.removeprefix(f"{STEPS}/")
    return any(fnmatchcase(one, way) for one in names for way in (pattern, f"{pattern}/*"))
