"""Optimizers that read whole layers: their steps are those of Optax, in wider arrays, too."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from optax import contrib
from pydantic import TypeAdapter

from hpo import registry
from hpo.data.dataset import DataSet
from hpo.engine.program import split
from hpo.engine.training.optimizers import Descent
from hpo.engine.training.rules.layered import sides
from hpo.engine.training.techniques.layers import Layers, mapped
from hpo.spec.marks import Mark, marked_leaves, with_leaves
from hpo.spec.sections.optimizer import OptimizerSpec
from hpo.spec.sections.updates import Updates
from tests.engine.samples import a_merged, moment

_RNG = np.random.default_rng(0)
_SHAPES: dict[str, Any] = {
    "convs": {"kernel": (3, 3, 2, 4)},
    "linears": {"kernel": (5, 3), "bias": (3,)},
    "head": {"kernel": (3, 2), "bias": (2,)},
}


def _drawn(scale: float) -> Any:
    return jax.tree.map(
        lambda shape: (scale * _RNG.standard_normal(shape)).astype(np.float32),
        _SHAPES,
        is_leaf=lambda found: isinstance(found, tuple),
    )


_START, _CURVATURE = _drawn(1.0), jax.tree.map(lambda a: 0.1 + a**2, _drawn(1.0))
_FLAT, _UNFLAT = ravel_pytree(_START)
_LAYERS = Layers(_UNFLAT, lambda tree: ravel_pytree(tree)[0])
_RATES = np.linspace(0.1, 0.02, 10, dtype=np.float32)


def _schedule(step: Any) -> Any:
    return jnp.asarray(_RATES)[step]


_CASES: dict[str, tuple[dict[str, Any], optax.GradientTransformation]] = {
    "lars": (
        {"trust": 0.1, "weight_decay": 0.1},
        optax.lars(_schedule, weight_decay=0.1, trust_coefficient=0.1),
    ),
    "novograd": ({"weight_decay": 0.1}, optax.novograd(_schedule, weight_decay=0.1)),
    "adafactor": (
        {"factored_from": 3},
        optax.adafactor(_schedule, min_dim_size_to_factor=3),
    ),
    "muon": (
        {"weight_decay": 0.1, "momentum": 0.9},
        contrib.muon(
            _schedule,
            beta=0.9,
            weight_decay=0.1,
            adam_weight_decay=0.1,
            muon_weight_dimension_numbers=lambda tree: mapped(sides, tree),
        ),
    ),
}


def _loss(params: Any) -> Any:
    parts = jax.tree.map(lambda p, c: (c * (p - 1) ** 2).sum(), params, _CURVATURE)
    return 0.5 * sum(jax.tree.leaves(parts))


def _theirs(optimizer: optax.GradientTransformation) -> Any:
    def step(carry: Any, _: Any) -> Any:
        params, state = carry
        updates, state = optimizer.update(jax.grad(_loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    start = jax.tree.map(jnp.asarray, _START)
    return jax.lax.scan(step, (start, optimizer.init(start)), None, len(_RATES))[0][0]


def _ours(name: str) -> Any:
    """The weights after the steps of a lane, with all numbers of the optimizer traced."""
    spec = TypeAdapter(OptimizerSpec).validate_python({"name": name, **_CASES[name][0]})
    leaves = marked_leaves(spec)
    knobs = {path: value for path, mark, value in leaves if mark is Mark.KNOB and value}
    params = np.asarray(_FLAT)
    state = Descent(spec, Updates(), _LAYERS).start(spec, Updates(), params)

    def gradient(vector: Any) -> Any:
        loss, gradients = jax.value_and_grad(_loss)(_UNFLAT(vector))
        return loss, None, ravel_pytree(gradients)[0]

    @jax.jit
    def train(knobs: Any, params: Any, state: Any) -> Any:
        descent = Descent(with_leaves(spec, knobs), Updates(), _LAYERS)

        def step(carry: Any, rate: Any) -> Any:
            _, _, params, state = descent.step(gradient, carry[1], carry[0], rate, moment())
            return (params, state), None

        return jax.lax.scan(step, (params, state), jnp.asarray(_RATES))[0][0]

    return _UNFLAT(train(knobs, params, state))


def test_every_optimizer_of_the_module_has_its_case() -> None:
    found = (n for n, e in registry.OPTIMIZERS.items() if ".rules.layered:" in e.function)
    assert _CASES.keys() == set(found)


@pytest.mark.parametrize("name", _CASES)
def test_the_steps_are_those_of_optax_under_a_schedule(name: str) -> None:
    ours, expected = _ours(name), jax.jit(lambda: _theirs(_CASES[name][1]))()
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), ours, expected
    )
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), ours, _START)
    assert min(jax.tree.leaves(moved)) > 1e-3


def test_muon_leaves_the_head_and_vectors_to_adam() -> None:
    found = mapped(lambda name, array: sides(name, array) is not None, _START)
    assert found == {
        "convs": {"kernel": True},
        "linears": {"kernel": True, "bias": False},
        "head": {"kernel": False, "bias": False},
    }


@pytest.mark.parametrize("name", _CASES)
def test_only_norms_are_read_in_wider_arrays(tiny: DataSet, name: str) -> None:
    merged = {
        "widths": [[8], [16]],
        "optimizer": [{"name": "sgd"}, {"name": name}],
        "activation": ["relu", "tanh"],
    }
    program, _ = split(a_merged(0, merged, optimizer={"name": name}), tiny, "cpu")
    has_own_sizes = "own sizes" in registry.OPTIMIZERS[name].needs
    apart = {"model.activation"}
    expected = apart if has_own_sizes else apart | {"model.widths", "optimizer"}
    assert {path for path, _ in program.merged} == expected


def test_others_are_merged_without_those_that_need_their_own_sizes(tiny: DataSet) -> None:
    rules = [{"name": name} for name in ("sgd", "adam", "muon", "adafactor")]
    merged = {"widths": [[8], [16]], "optimizer": rules}
    program, _ = split(a_merged(0, merged, optimizer={"name": "adam"}), tiny, "cpu")
    options = dict(program.merged)
    assert [each.name for each in options["optimizer"]] == ["sgd", "adam"]
    assert "model.widths" in options
