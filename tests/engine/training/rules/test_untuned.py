"""Optimizers that find their own rate: their steps are those of Optax at every rate."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib
from pydantic import TypeAdapter

from hpo import registry
from hpo.engine.training.optimizers import Descent
from hpo.engine.training.techniques.layers import Layers
from hpo.spec.marks import Mark, marked_leaves, with_leaves
from hpo.spec.sections.optimizer import OptimizerSpec
from hpo.spec.sections.updates import Updates
from tests.engine.samples import moment

# Six weights: as many as the scales of mechanic.
_START = np.array([1.0, -2.0, 3.0, 0.5, -0.1, 4.0], np.float32)
_CURVATURE = np.array([1.0, 2.0, 0.1, 3.0, 1.0, 0.5], np.float32)
_RATES = np.linspace(1.0, 0.2, 12, dtype=np.float32)


def _schedule(step: Any) -> Any:
    return jnp.asarray(_RATES)[step]


_MECHANIC = optax.chain(optax.scale_by_adam(), optax.scale_by_learning_rate(_schedule))
_CASES: dict[str, tuple[dict[str, float], Any]] = {
    "prodigy": (
        {"initial": 1e-3, "weight_decay": 0.1},
        contrib.prodigy(_schedule, estim_lr0=1e-3, weight_decay=0.1),
    ),
    "dog": ({"initial": 1e-3}, contrib.dog(_schedule, ("heuristic", 1e-3))),
    "mechanic": ({"initial": 1e-3}, contrib.mechanize(_MECHANIC, s_init=1e-3)),
    "momo": ({"weight_decay": 0.1}, contrib.momo(_schedule, weight_decay=0.1)),
    "schedule_free": (
        {"weight_decay": 0.1},
        contrib.schedule_free_adamw(_schedule, weight_decay=0.1),
    ),
}


def _loss(params: Any, curvature: Any) -> Any:
    return 0.5 * (curvature * (params - 1) ** 2).sum()


def _theirs(optimizer: Any) -> Any:
    params = jnp.asarray(_START)
    state, gradient = optimizer.init(params), jax.value_and_grad(_loss)
    for _ in _RATES:
        value, gradients = gradient(params, _CURVATURE)
        extra = {"value": value} if "extra" in str(type(optimizer)).lower() else {}
        updates, state = optimizer.update(gradients, state, params, **extra)
        params = optax.apply_updates(params, updates)
    return params


def _ours(name: str, padding: int = 0) -> np.ndarray:
    """The weights after the steps of a lane, with all numbers of the optimizer traced."""
    spec = TypeAdapter(OptimizerSpec).validate_python({"name": name, **_CASES[name][0]})
    leaves = marked_leaves(spec)
    knobs = {path: value for path, mark, value in leaves if mark is Mark.KNOB and value}
    layers = Layers(lambda tree: tree, lambda tree: tree)
    start, curvature = (
        np.concatenate([a, np.zeros(padding, np.float32)]) for a in (_START, _CURVATURE)
    )
    state = Descent(spec, Updates(), layers).start(spec, Updates(), start)

    @jax.jit
    def train(knobs: Any, params: Any, state: Any) -> Any:
        descent = Descent(with_leaves(spec, knobs), Updates(), layers)

        def gradient(params: Any) -> Any:
            loss, gradients = jax.value_and_grad(_loss)(params, curvature)
            return loss, None, gradients

        def step(carry: Any, rate: Any) -> Any:
            _, _, params, state = descent.step(gradient, carry[1], carry[0], rate, moment())
            return (params, state), None

        return jax.lax.scan(step, (params, state), jnp.asarray(_RATES))[0][0]

    return np.asarray(train(knobs, start, state))


def test_every_optimizer_of_the_module_has_its_case() -> None:
    found = (n for n, e in registry.OPTIMIZERS.items() if ".rules.untuned:" in e.function)
    assert _CASES.keys() == set(found)


@pytest.mark.parametrize("name", _CASES)
def test_the_steps_are_those_of_optax_under_a_schedule(name: str) -> None:
    expected = _theirs(_CASES[name][1])
    np.testing.assert_allclose(_ours(name), expected, rtol=1e-4, atol=1e-6)
    assert np.abs(expected - _START).max() > 1e-3


@pytest.mark.parametrize("name", _CASES)
def test_weights_of_padding_stay_0_and_change_no_others(name: str) -> None:
    weights = _ours(name, padding=3)
    np.testing.assert_array_equal(weights[len(_START) :], 0)
    np.testing.assert_allclose(weights[: len(_START)], _ours(name), rtol=1e-5)
