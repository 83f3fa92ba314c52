"""Optimizers beside Adam: their steps are those of Optax, and padding stays where it is."""

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
from hpo.engine.training.optimizers import Layers, make_optimizer
from hpo.spec.marks import Mark, marked_leaves, with_leaves
from hpo.spec.sections.optimizer import OptimizerSpec
from hpo.spec.sections.updates import Updates

_RATE, _STEPS = 0.05, 12
_START = jnp.array([1.0, -2.0, 3.0, 0.5, -0.1, 4.0])
_CURVATURE = jnp.array([1.0, 2.0, 0.1, 3.0, 1.0, 0.5])
_DECAY = optax.add_decayed_weights(0.1)
# Optax's alias lets the means start at 1e-6, which would move the weights of padding.
_YOGI = optax.scale_by_yogi(initial_accumulator_value=0.0)
_CASES: dict[str, tuple[dict[str, float], optax.GradientTransformation]] = {
    "adadelta": ({"decay": 0.8}, optax.adadelta(_RATE, rho=0.8)),
    "adamax": ({"beta1": 0.8}, optax.adamax(_RATE, b1=0.8)),
    "nadam": ({"weight_decay": 0.1}, optax.chain(_DECAY, optax.nadam(_RATE))),
    "radam": ({"beta2": 0.9}, optax.radam(_RATE, b2=0.9)),
    "amsgrad": ({"beta2": 0.9}, optax.amsgrad(_RATE, b2=0.9)),
    "adabelief": ({"epsilon": 1e-3}, optax.adabelief(_RATE, eps=1e-3)),
    "yogi": ({}, optax.chain(_YOGI, optax.scale(-_RATE))),
    "lion": ({"weight_decay": 0.1}, optax.lion(_RATE, weight_decay=0.1)),
    "adan": ({"weight_decay": 0.1}, optax.adan(_RATE, weight_decay=0.1)),
    "ademamix": ({"alpha": 2.0, "beta3": 0.9}, contrib.ademamix(_RATE, alpha=2.0, b3=0.9)),
}


def _steps(optimizer: Any, rate: float, start: Any, curvature: Any) -> Any:
    def step(carry: Any, _: None) -> Any:
        params, state = carry
        gradients = curvature * (params - 1)
        updates, state = optimizer.update(gradients, state, params)
        return (params + rate * updates, state), None

    return jax.lax.scan(step, (start, optimizer.init(start)), None, _STEPS)[0][0]


def _ours(name: str, start: Any = _START, curvature: Any = _CURVATURE) -> np.ndarray:
    """Steps of the registry's optimizer with all of its numbers traced."""
    spec = TypeAdapter(OptimizerSpec).validate_python({"name": name, **_CASES[name][0]})
    leaves = marked_leaves(spec)
    knobs = {path: value for path, mark, value in leaves if mark is Mark.KNOB and value}
    layers = Layers(lambda tree: tree, lambda tree: tree)

    def steps(knobs: Any) -> Any:
        optimizer = make_optimizer(with_leaves(spec, knobs), Updates(), layers)
        return _steps(optimizer, -_RATE, start, curvature)

    return np.asarray(jax.jit(steps)(knobs))


def test_every_optimizer_of_the_module_has_its_case() -> None:
    found = (n for n, e in registry.OPTIMIZERS.items() if ".rules.adaptive:" in e.function)
    assert _CASES.keys() == set(found)


@pytest.mark.parametrize("name", _CASES)
def test_the_steps_are_those_of_optax(name: str) -> None:
    expected = jax.jit(lambda: _steps(_CASES[name][1], 1.0, _START, _CURVATURE))()
    # Near its minimum a weight moves by the rounding of traced decays.
    np.testing.assert_allclose(_ours(name), expected, rtol=1e-4, atol=1e-6)
    assert np.abs(np.asarray(expected) - _START).max() > 1e-3


@pytest.mark.parametrize("name", _CASES)
def test_weights_of_padding_stay_0_and_change_no_others(name: str) -> None:
    padded, curvature = (jnp.concatenate([a, jnp.zeros(3)]) for a in (_START, _CURVATURE))
    weights = _ours(name, padded, curvature)
    np.testing.assert_array_equal(weights[len(_START) :], 0)
    np.testing.assert_allclose(weights[: len(_START)], _ours(name), rtol=1e-6)
