"""Optimizers, by Optax: the direction of a step, before it is scaled by the learning rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optax

from hpo.engine.program import is_off
from hpo.spec import optimizer as specs


def make_optimizer(spec: Any) -> optax.GradientTransformation:
    """The transformation of gradients that `spec` names; its numbers may be traced.

    The learning rate and its schedule are left to the caller: they scale what this gives.
    """
    clip = [] if spec.clip_norm is None else [optax.clip_by_global_norm(spec.clip_norm)]
    # The identity, because Optax refuses the empty chain that plain SGD is.
    return optax.chain(*clip, *OPTIMIZERS[type(spec)](spec), optax.identity())


def _sgd(spec: specs.Sgd) -> list[optax.GradientTransformation]:
    return [*_weight_decay(spec), *_momentum(spec.momentum, spec.nesterov)]


def _adam(spec: specs.Adam) -> list[optax.GradientTransformation]:
    return [*_weight_decay(spec), optax.scale_by_adam(spec.beta1, spec.beta2, spec.epsilon)]


def _adamw(spec: specs.AdamW) -> list[optax.GradientTransformation]:
    return [optax.scale_by_adam(spec.beta1, spec.beta2, spec.epsilon), *_weight_decay(spec)]


def _rmsprop(spec: specs.RmsProp) -> list[optax.GradientTransformation]:
    scale = optax.scale_by_rms(spec.decay, spec.epsilon)
    return [*_weight_decay(spec), scale, *_momentum(spec.momentum, nesterov=False)]


def _weight_decay(spec: Any) -> list[optax.GradientTransformation]:
    return [] if is_off(spec.weight_decay) else [optax.add_decayed_weights(spec.weight_decay)]


def _momentum(momentum: Any, nesterov: bool) -> list[optax.GradientTransformation]:
    return [] if is_off(momentum) else [optax.trace(momentum, nesterov)]


OPTIMIZERS: dict[type, Callable[[Any], list[optax.GradientTransformation]]] = {
    specs.Sgd: _sgd,
    specs.Adam: _adam,
    specs.AdamW: _adamw,
    specs.RmsProp: _rmsprop,
}
