"""Optimizers, built with Optax: the direction of a step, before the learning rate scales it.

An entry of the registry is a function from its spec, whose numbers may be traced, to the parts of a
chain. Gradients and weights are one vector each. An entry whose `needs` list "layers" also gets
`Layers`. One that needs a "start" makes its state from the first weights instead of zeros.

The parts of an entry that needs the "gradient" get it as extra arguments of Optax:
`gradient(weights)` returns loss and gradients of the same batch at any weights. `loss` is the loss
at the lane's weights, `rate` the learning rate. An entry that needs the "rate" gets `loss` and
`rate` and returns the step itself, which nothing scales any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import optax

from hpo import registry
from hpo.engine.oneof import OneOf, choose, options_of
from hpo.engine.program import is_off
from hpo.engine.training.techniques.constraints import constrained, decayed
from hpo.engine.training.techniques.gradients import Moment, at_noisy_weights, noisy
from hpo.engine.training.techniques.layers import Gradient, Layers, by_layers
from hpo.engine.training.techniques.updates import (
    accumulated,
    chosen,
    clips,
    kept_frozen,
    kept_others,
    only_of,
    rated,
    sharpened,
    thawed,
)
from hpo.spec.registered import needs_of
from hpo.spec.sections import optimizer as specs
from hpo.spec.sections.updates import Updates


@dataclass(frozen=True)
class Descent:
    """The updates of a program: its optimizer, or a `OneOf` of several, and the section `updates`.

    If a program serves several optimizers, the state is a list of slots: arrays that the optimizers
    share, because a lane uses only one of them.
    """

    optimizer: Any
    updates: Updates
    layers: Layers

    def state_shapes(self, params: Any) -> Any:
        """The shapes of the state for weights of these shapes."""
        states = self._states(params)
        return states[0] if len(states) == 1 else _slots(states)[0]

    def start(self, own: Any, updates: Updates, params: np.ndarray) -> Any:
        """The state of a trial with this optimizer and these weights, before its first step."""
        blank = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), self.state_shapes(params))
        is_own = registry.OPTIMIZERS[own.name].is_own
        if "start" not in needs_of("optimizer", own) and not is_own:
            return blank
        # Its chain may be shorter than the program's, by parts without a state: numbers that are 0.
        state = make_optimizer(own, updates, self.layers).init(params)
        leaves, states = jax.tree.leaves(jax.device_get(state)), self._states(params)
        if len(states) == 1:
            return jax.tree.unflatten(jax.tree.structure(states[0]), leaves)
        shapes = [np.shape(leaf) for leaf in leaves]
        found = ([leaf.shape for leaf in jax.tree.leaves(one)] == shapes for one in states)
        number = next(i for i, is_its_own in enumerate(found) if is_its_own)
        for index, leaf in zip(_slots(states)[1][number], leaves, strict=True):
            blank[index] = leaf
        return blank

    def step(
        self, gradient: Gradient, state: Any, params: Any, rate: Any, moment: Moment
    ) -> tuple[Any, Any, Any, Any]:
        """Loss, variables, weights and state after one step at this learning rate.

        `gradient(params)` returns the loss, the model's variables and the gradients at `params`.
        Loss and variables are those at the weights before the step.
        """
        start = params, state
        gradient = at_noisy_weights(gradient, self.updates, self.layers, moment)
        is_chosen = chosen(self.updates, self.layers, params, moment)
        gradient = only_of(thawed(gradient, self.updates, self.layers), is_chosen)
        gradient = sharpened(gradient, self.updates)
        loss, variables, gradients = gradient(params)

        def descend(
            spec: Any, gradients: Any, state: Any, params: Any, rate: Any
        ) -> tuple[Any, Any]:
            spec = decayed(spec, self.updates, self.layers, params)
            optimizer = make_optimizer(spec, self.updates, self.layers, moment)
            asked: dict[str, Any] = {}
            needs = needs_of("optimizer", spec)
            if "gradient" in needs:
                function = self._clipped(gradient, spec)
                asked = {"gradient": function, "loss": loss, "rate": rate}
            elif "rate" in needs:
                asked = {"loss": loss, "rate": rate}
            direction, state = optimizer.update(gradients, state, params, **asked)
            direction = rated(self.updates, self.layers, direction)
            if "rate" in needs:
                after = jax.tree.map(lambda p, d: p - d, params, direction)
            else:
                after = jax.tree.map(lambda p, d: p - rate * d, params, direction)
            return constrained(self.updates, self.layers, after, rate, moment.step), state

        def finished(after: tuple[Any, Any]) -> tuple[Any, Any, Any, Any]:
            after = kept_frozen(self.updates, self.layers, start, after)
            return loss, variables, *kept_others(is_chosen, start, after)

        options = options_of(self.optimizer)
        if len(options) == 1:
            return finished(descend(options[0], gradients, state, params, rate))
        states = self._states(params)
        _, indices = _slots(states)

        def one(number: int, gradients: Any, slots: Any, params: Any, rate: Any) -> tuple[Any, Any]:
            tree, mine = jax.tree.structure(states[number]), indices[number]
            own = jax.tree.unflatten(tree, [slots[index] for index in mine])
            params, own = descend(options[number], gradients, own, params, rate)
            slots = list(slots)
            for index, leaf in zip(mine, jax.tree.leaves(own), strict=True):
                slots[index] = leaf
            return params, slots

        number = OneOf(tuple(range(len(options))), self.optimizer.index)
        return finished(choose(number, one, gradients, state, params, rate))

    def _states(self, params: Any) -> list[Any]:
        made = (
            make_optimizer(each, self.updates, self.layers) for each in options_of(self.optimizer)
        )
        return [jax.eval_shape(each.init, params) for each in made]

    def _clipped(self, gradient: Gradient, spec: Any) -> Callable[[Any], tuple[Any, Any]]:
        """Loss and gradients at any weights, the gradients clipped as those of the step are."""
        clip = optax.chain(*clips(spec, self.updates, self.layers), optax.identity())

        def at(weights: Any) -> tuple[Any, Any]:
            loss, _, gradients = gradient(weights)
            return loss, clip.update(gradients, clip.init(weights), weights)[0]

        return at


def _slots(states: list[Any]) -> tuple[list[Any], list[list[int]]]:
    """The slots that hold any one of the states, and the indices of the slots of each state."""
    slots: list[Any] = []
    indices = []
    for state in states:
        free = list(range(len(slots)))
        mine = []
        for leaf in jax.tree.leaves(state):
            kind = (leaf.shape, leaf.dtype)
            index = next((i for i in free if (slots[i].shape, slots[i].dtype) == kind), None)
            if index is None:
                index = len(slots)
                slots.append(leaf)
            else:
                free.remove(index)
            mine.append(index)
        indices.append(mine)
    return slots, indices


def make_optimizer(
    spec: Any, updates: Updates, layers: Layers, moment: Moment | None = None
) -> optax.GradientTransformation:
    """The transformation of gradients that `spec` names; its numbers may be traced.

    The caller scales its result by the learning rate and the schedule. Without a `moment` it can
    only make its state.
    """
    make = registry.function("optimizer", spec.name)
    rule = make(spec, layers) if "layers" in needs_of("optimizer", spec) else make(spec)
    # Plain SGD has no parts, and Optax refuses an empty chain: so the identity is added.
    before = clips(spec, updates, layers)
    if not is_off(updates.noise):
        noise = optax.identity() if moment is None else noisy(updates.noise, layers, moment)
        before.append(noise)
    chain = optax.chain(*before, *rule, optax.identity())
    return accumulated(chain, updates)


def sgd(spec: specs.Sgd) -> list[optax.GradientTransformation]:
    return [*weight_decay(spec), *_momentum(spec.momentum, spec.nesterov)]


def adam(spec: specs.Adam) -> list[optax.GradientTransformation]:
    return [*weight_decay(spec), optax.scale_by_adam(spec.beta1, spec.beta2, spec.epsilon)]


def adamw(spec: specs.AdamW | specs.Lamb) -> list[optax.GradientTransformation]:
    return [optax.scale_by_adam(spec.beta1, spec.beta2, spec.epsilon), *weight_decay(spec)]


def rmsprop(spec: specs.RmsProp) -> list[optax.GradientTransformation]:
    scale = optax.scale_by_rms(spec.decay, spec.epsilon)
    return [*weight_decay(spec), scale, *_momentum(spec.momentum, nesterov=False)]


def adagrad(spec: specs.Adagrad) -> list[optax.GradientTransformation]:
    scale = optax.scale_by_rss(spec.initial_accumulator or 0.0, spec.epsilon)
    return [*weight_decay(spec), scale]


def lamb(spec: specs.Lamb, layers: Layers) -> list[optax.GradientTransformation]:
    return [*adamw(spec), by_layers(optax.scale_by_trust_ratio(), layers)]


def weight_decay(spec: Any) -> list[optax.GradientTransformation]:
    """The decay of weights: an L2 penalty before a rule, decoupled after it."""
    return [] if is_off(spec.weight_decay) else [optax.add_decayed_weights(spec.weight_decay)]


def _momentum(momentum: Any, nesterov: bool) -> list[optax.GradientTransformation]:
    return [] if is_off(momentum) else [optax.trace(momentum, nesterov)]
