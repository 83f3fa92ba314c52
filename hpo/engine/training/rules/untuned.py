"""Optimizers that find their own learning rate, or need no schedule of it.

Those that need the "rate" get it as an extra argument of Optax, and return the step itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import optax
from optax import contrib

from hpo.spec.sections.optimizers import untuned as specs

Parts = list[optax.GradientTransformation]


def prodigy(spec: specs.Prodigy) -> Parts:
    def at(rate: Any) -> Any:
        return contrib.prodigy(
            rate,
            betas=(spec.beta1, spec.beta2),
            eps=spec.epsilon,
            estim_lr0=spec.initial,
            weight_decay=spec.weight_decay,
        )

    return [_at_rate(at)]


def dog(spec: specs.Dog) -> Parts:
    # The rate of -1 takes back the sign that Optax gives a step.
    first = "heuristic", spec.initial
    return [contrib.dog(-1.0, init_step=first, eps=spec.epsilon, weight_decay=spec.weight_decay)]


def mechanic(spec: specs.Mechanic) -> Parts:
    def at(rate: Any) -> Any:
        adam = optax.scale_by_adam(spec.beta1, spec.beta2, spec.epsilon)
        base = optax.chain(adam, optax.scale(-1.0 * rate))
        learned = contrib.mechanize(base, weight_decay=spec.weight_decay, s_init=spec.initial)
        return _in_columns(learned)

    return [_at_rate(at)]


def momo(spec: specs.Momo) -> Parts:
    def at(rate: Any) -> Any:
        return contrib.momo(rate, spec.momentum, weight_decay=spec.weight_decay)

    return [_at_rate(at)]


def schedule_free(spec: specs.ScheduleFree) -> Parts:
    def at(rate: Any) -> Any:
        return contrib.schedule_free_adamw(
            rate, b1=spec.beta1, b2=spec.beta2, eps=spec.epsilon, weight_decay=spec.weight_decay
        )

    return [_at_rate(at)]


def own_average(state: Any, params: Any, spec: specs.ScheduleFree) -> Any:
    """The average that `schedule_free` is judged by, from its state and its weights.

    Source: Defazio et al. 2024, "The road less scheduled" (arXiv:2405.15682), Equation 3, solved
    for x so that frozen weights keep their bits.
    """
    steps = optax.tree.get(state, "z")
    return params + (1 - spec.beta1) / spec.beta1 * (params - steps)


def _at_rate(at: Callable[[Any], Any]) -> optax.GradientTransformationExtraArgs:
    """The transformation that `at` makes of a learning rate, at the rate of each step."""

    def update(
        gradients: Any, state: Any, params: Any = None, *, rate: Any, loss: Any, **_: Any
    ) -> Any:
        step, state = at(rate).update(gradients, state, params, value=loss)
        return jax.tree.map(lambda s: -s, step), state

    return optax.GradientTransformationExtraArgs(at(1.0).init, update)


def _in_columns(mechanized: Any) -> optax.GradientTransformationExtraArgs:
    """Mechanic whose six scales lie in a column, for an array as long as the weights is theirs."""

    def standing(state: Any) -> Any:
        return state._replace(**{name: getattr(state, name)[:, None] for name in "rmvs"})

    def lying(state: Any) -> Any:
        return state._replace(**{name: getattr(state, name)[:, 0] for name in "rmvs"})

    def update(gradients: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        step, state = mechanized.update(gradients, lying(state), params, **extra)
        return step, standing(state)

    return optax.GradientTransformationExtraArgs(
        lambda params: standing(mechanized.init(params)), update
    )
