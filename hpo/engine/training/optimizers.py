"""Optimizers, by Optax: the direction of a step, before it is scaled by the learning rate."""

from __future__ import annotations

from typing import Any

import jax
import optax

from hpo import registry
from hpo.engine.oneof import OneOf, choose, options_of
from hpo.engine.program import is_off
from hpo.spec.sections import optimizer as specs


def optimizer_state(spec: Any, params: Any) -> Any:
    """The shapes of an optimizer's state for weights of these shapes.

    Where a program serves several optimizers, it is a list of arrays that any of them finds room
    in. All of them start from zeros.
    """
    states = [jax.eval_shape(make_optimizer(each).init, params) for each in options_of(spec)]
    return states[0] if len(states) == 1 else _rooms(states)[0]


def descend(spec: Any, gradients: Any, state: Any, params: Any, rate: Any) -> tuple[Any, Any]:
    """Weights and state after one step at this learning rate."""
    options = options_of(spec)
    states = [jax.eval_shape(make_optimizer(each).init, params) for each in options]
    if len(options) == 1:
        return _descend(options[0], gradients, state, params, rate)
    _, places = _rooms(states)

    def one(number: int, gradients: Any, rooms: Any, params: Any, rate: Any) -> tuple[Any, Any]:
        tree, mine = jax.tree.structure(states[number]), places[number]
        own = jax.tree.unflatten(tree, [rooms[place] for place in mine])
        params, own = _descend(options[number], gradients, own, params, rate)
        rooms = list(rooms)
        for place, leaf in zip(mine, jax.tree.leaves(own), strict=True):
            rooms[place] = leaf
        return params, rooms

    number = OneOf(tuple(range(len(options))), spec.index)
    return choose(number, one, gradients, state, params, rate)


def _descend(spec: Any, gradients: Any, state: Any, params: Any, rate: Any) -> tuple[Any, Any]:
    direction, state = make_optimizer(spec).update(gradients, state, params)
    return jax.tree.map(lambda p, d: p - rate * d, params, direction), state


def _rooms(states: list[Any]) -> tuple[list[Any], list[list[int]]]:
    """Arrays of which each state finds its leaves' shapes, and the places where it does."""
    rooms: list[Any] = []
    places = []
    for state in states:
        free = list(range(len(rooms)))
        mine = []
        for leaf in jax.tree.leaves(state):
            kind = (leaf.shape, leaf.dtype)
            place = next((i for i in free if (rooms[i].shape, rooms[i].dtype) == kind), None)
            if place is None:
                place = len(rooms)
                rooms.append(leaf)
            else:
                free.remove(place)
            mine.append(place)
        places.append(mine)
    return rooms, places


def make_optimizer(spec: Any) -> optax.GradientTransformation:
    """The transformation of gradients that `spec` names; its numbers may be traced.

    The learning rate and its schedule are left to the caller: they scale what this gives. Gradients
    and weights are one vector each (see `weights`): what treats layers apart has to part them.
    """
    clip = [] if spec.clip_norm is None else [optax.clip_by_global_norm(spec.clip_norm)]
    # The identity, because Optax refuses the empty chain that plain SGD is.
    return optax.chain(*clip, *registry.function("optimizer", spec.name)(spec), optax.identity())


def sgd(spec: specs.Sgd) -> list[optax.GradientTransformation]:
    return [*_weight_decay(spec), *_momentum(spec.momentum, spec.nesterov)]


def adam(spec: specs.Adam) -> list[optax.GradientTransformation]:
    return [*_weight_decay(spec), optax.scale_by_adam(spec.beta1, spec.beta2, spec.epsilon)]


def adamw(spec: specs.AdamW) -> list[optax.GradientTransformation]:
    return [optax.scale_by_adam(spec.beta1, spec.beta2, spec.epsilon), *_weight_decay(spec)]


def rmsprop(spec: specs.RmsProp) -> list[optax.GradientTransformation]:
    scale = optax.scale_by_rms(spec.decay, spec.epsilon)
    return [*_weight_decay(spec), scale, *_momentum(spec.momentum, nesterov=False)]


def _weight_decay(spec: Any) -> list[optax.GradientTransformation]:
    return [] if is_off(spec.weight_decay) else [optax.add_decayed_weights(spec.weight_decay)]


def _momentum(momentum: Any, nesterov: bool) -> list[optax.GradientTransformation]:
    return [] if is_off(momentum) else [optax.trace(momentum, nesterov)]
