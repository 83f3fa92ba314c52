"""Optimizers: the registry's steps are Optax's, and those of the papers."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from pydantic import TypeAdapter

from hpo.engine.training.optimizers import Layers
from hpo.engine.training.optimizers import make_optimizer as make_from_parts
from hpo.registry import OPTIMIZERS, load
from hpo.spec.marks import Mark, marked_leaves, with_leaves
from hpo.spec.sections.optimizer import OptimizerSpec
from hpo.spec.sections.updates import Updates

_RATE, _STEPS = 0.05, 10
_START = {"a": jnp.array([1.0, -2.0, 3.0]), "b": jnp.array([[0.5, -0.1], [4.0, 0.0]])}
_CURVATURE = {"a": jnp.array([1.0, 2.0, 0.1]), "b": jnp.array([[3.0, 1.0], [0.5, 1.0]])}


def _spec(name: str, **leaves: Any) -> Any:
    return TypeAdapter(OptimizerSpec).validate_python({"name": name, **leaves})


# Weights of these tests are trees, whose arrays are the layers.
_LAYERS = Layers(lambda tree: tree, lambda tree: tree)


def make_optimizer(spec: Any, **updates: Any) -> optax.GradientTransformation:
    return make_from_parts(spec, Updates(**updates), _LAYERS)


def _gradients(params: Any) -> Any:
    """The gradient of a quadratic whose minimum is at 1."""
    return jax.tree.map(lambda p, c: c * (p - 1), params, _CURVATURE)


def _steps(optimizer: optax.GradientTransformation, rate: float) -> Any:
    def step(carry: Any, _: None) -> Any:
        params, state = carry
        updates, state = optimizer.update(_gradients(params), state, params)
        return (jax.tree.map(lambda p, u: p + rate * u, params, updates), state), None

    return jax.lax.scan(step, (_START, optimizer.init(_START)), None, _STEPS)[0][0]


def _ours(spec: Any) -> Any:
    """Ten steps of the registry's optimizer, with all numbers of the spec traced."""
    knobs = {
        path: value
        for path, mark, value in marked_leaves(spec)
        if mark is Mark.KNOB and value not in (None, 0)
    }
    return jax.jit(lambda k: _steps(make_optimizer(with_leaves(spec, k)), -_RATE))(knobs)


def _chain(*parts: Any) -> optax.GradientTransformation:
    return optax.chain(*parts)


_DECAY, _CLIP = optax.add_decayed_weights(0.1), optax.clip_by_global_norm(0.5)


@pytest.mark.parametrize(
    ("spec", "theirs"),
    [
        (_spec("sgd", momentum=0.0), optax.sgd(_RATE)),
        (_spec("sgd"), optax.sgd(_RATE, momentum=0.9)),
        (_spec("sgd", nesterov=True), optax.sgd(_RATE, momentum=0.9, nesterov=True)),
        (_spec("sgd", weight_decay=0.1), _chain(_DECAY, optax.sgd(_RATE, momentum=0.9))),
        (_spec("sgd", clip_norm=0.5), _chain(_CLIP, optax.sgd(_RATE, momentum=0.9))),
        (_spec("adam"), optax.adam(_RATE)),
        (_spec("adam", beta1=0.8, beta2=0.9), optax.adam(_RATE, b1=0.8, b2=0.9)),
        (_spec("adam", beta1=0.0, epsilon=0.1), optax.adam(_RATE, b1=0.0, eps=0.1)),
        (_spec("adam", weight_decay=0.1), _chain(_DECAY, optax.adam(_RATE))),
        (_spec("adamw"), optax.adamw(_RATE)),
        (_spec("adamw", weight_decay=0.1), optax.adamw(_RATE, weight_decay=0.1)),
        (_spec("adamw", weight_decay=0.0), optax.adam(_RATE)),
        (_spec("adamw", clip_norm=0.5), _chain(_CLIP, optax.adamw(_RATE))),
        (_spec("rmsprop"), optax.rmsprop(_RATE)),
        (
            _spec("rmsprop", momentum=0.9, decay=0.8, epsilon=1e-3),
            optax.rmsprop(_RATE, decay=0.8, eps=1e-3, momentum=0.9),
        ),
        (_spec("rmsprop", weight_decay=0.1), _chain(_DECAY, optax.rmsprop(_RATE))),
        (
            _spec("rmsprop", clip_norm=0.5, weight_decay=0.1),
            _chain(_CLIP, _DECAY, optax.rmsprop(_RATE)),
        ),
        (_spec("adagrad"), optax.adagrad(_RATE)),
        (
            _spec("adagrad", initial_accumulator=1.0, epsilon=0.1),
            optax.adagrad(_RATE, initial_accumulator_value=1.0, eps=0.1),
        ),
        (_spec("lamb"), optax.lamb(_RATE)),
        (_spec("lamb", weight_decay=0.1), optax.lamb(_RATE, weight_decay=0.1)),
    ],
    ids=lambda value: str(value) if hasattr(value, "name") else "",
)
def test_ten_steps_are_those_of_optax(spec: Any, theirs: optax.GradientTransformation) -> None:
    expected = jax.jit(lambda: _steps(theirs, 1.0))()
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6), _ours(spec), expected
    )


@pytest.mark.parametrize(
    ("updates", "theirs"),
    [
        ({"clip_value": 0.5}, _chain(optax.clip(0.5), optax.adam(_RATE))),
        ({"accumulate": 3}, optax.MultiSteps(optax.adam(_RATE), 3).gradient_transformation()),
        ({"accumulate": 1}, optax.adam(_RATE)),
    ],
    ids=["value", "accumulated", "not accumulated"],
)
def test_updates_are_those_of_optax(updates: Any, theirs: optax.GradientTransformation) -> None:
    def ours(knobs: Any) -> Any:
        traced = Updates().model_copy(update=knobs)
        return _steps(make_from_parts(_spec("adam"), traced, _LAYERS), -_RATE)

    expected = jax.jit(lambda: _steps(theirs, 1.0))()
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6),
        jax.jit(ours)(updates),
        expected,
    )


def test_each_array_is_clipped_to_its_own_norm() -> None:
    optimizer = make_optimizer(_spec("sgd", momentum=0.0), clip_layer_norm=3.0)
    direction, _ = optimizer.update(_gradients(_START), optimizer.init(_START), _START)
    for name, gradient in _gradients(_START).items():
        norm = np.linalg.norm(gradient)
        expected = np.asarray(gradient) * min(1.0, 3.0 / norm)
        np.testing.assert_allclose(direction[name], expected, rtol=1e-6)


def _by_hand(step: Any) -> dict[str, np.ndarray]:
    """Ten steps in float64 of a rule (t, weights, gradient, memory) -> weights, leaf by leaf."""
    result = {}
    for name in _START:
        weights = np.array(_START[name], np.float64)
        memory: dict[str, Any] = {"m": 0.0, "v": 0.0}
        for t in range(1, _STEPS + 1):
            gradient = np.array(_CURVATURE[name], np.float64) * (weights - 1)
            weights = step(t, weights, gradient, memory)
        result[name] = weights
    return result


def _sgd(t: int, w: Any, g: Any, memory: dict[str, Any]) -> Any:
    memory["v"] = 0.9 * memory["v"] + g
    return w - _RATE * memory["v"]


def _nesterov(t: int, w: Any, g: Any, memory: dict[str, Any]) -> Any:
    memory["v"] = 0.9 * memory["v"] + g
    return w - _RATE * (g + 0.9 * memory["v"])


def _adam(t: int, w: Any, g: Any, memory: dict[str, Any]) -> Any:
    """Kingma and Ba 2015, Algorithm 1."""
    memory["m"] = 0.9 * memory["m"] + 0.1 * g
    memory["v"] = 0.999 * memory["v"] + 0.001 * g**2
    m, v = memory["m"] / (1 - 0.9**t), memory["v"] / (1 - 0.999**t)
    return w - _RATE * m / (np.sqrt(v) + 1e-8)


def _adamw(t: int, w: Any, g: Any, memory: dict[str, Any]) -> Any:
    """Loshchilov and Hutter 2019, Algorithm 2, the decay scaled by the learning rate as in use."""
    return _adam(t, w, g, memory) - _RATE * 0.1 * w


def _adam_l2(t: int, w: Any, g: Any, memory: dict[str, Any]) -> Any:
    return _adam(t, w, g + 0.1 * w, memory)


def _rmsprop(t: int, w: Any, g: Any, memory: dict[str, Any]) -> Any:
    memory["v"] = 0.9 * memory["v"] + 0.1 * g**2
    return w - _RATE * g / np.sqrt(memory["v"] + 1e-8)


@pytest.mark.parametrize(
    ("spec", "rule"),
    [
        (_spec("sgd"), _sgd),
        (_spec("sgd", nesterov=True), _nesterov),
        (_spec("adam"), _adam),
        (_spec("adam", weight_decay=0.1), _adam_l2),
        (_spec("adamw", weight_decay=0.1), _adamw),
        (_spec("rmsprop"), _rmsprop),
    ],
    ids=["sgd", "nesterov", "adam", "adam with L2", "adamw", "rmsprop"],
)
def test_ten_steps_are_those_of_the_paper(spec: Any, rule: Any) -> None:
    ours, expected = _ours(spec), _by_hand(rule)
    for name in expected:
        np.testing.assert_allclose(ours[name], expected[name], rtol=1e-4, atol=1e-5)


def test_a_clipped_gradient_has_the_norm_that_it_is_clipped_to() -> None:
    optimizer = make_optimizer(_spec("sgd", momentum=0.0, clip_norm=0.5))
    direction, _ = optimizer.update(_gradients(_START), optimizer.init(_START), _START)
    norm = math.sqrt(sum(float(jnp.square(leaf).sum()) for leaf in jax.tree.leaves(direction)))
    assert norm == pytest.approx(0.5)


def test_a_gradient_within_the_norm_is_not_clipped() -> None:
    optimizer = make_optimizer(_spec("sgd", momentum=0.0, clip_norm=1e6))
    direction, _ = optimizer.update(_gradients(_START), optimizer.init(_START), _START)
    jax.tree.map(np.testing.assert_array_equal, direction, _gradients(_START))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_starts_from_zeros_unless_it_says_that_it_needs_a_start(name: str) -> None:
    # A lane starts from zeros without calling the optimizer's `init`.
    spec = load(OPTIMIZERS[name].spec)(name=name)
    every_knob_on = {path: 0.5 for path, mark, _ in marked_leaves(spec) if mark is Mark.KNOB}
    for each in (spec, with_leaves(spec, every_knob_on)):
        state = jax.tree.leaves(make_optimizer(each).init(_START))
        assert any(leaf.any() for leaf in state) == ("start" in OPTIMIZERS[name].needs)
