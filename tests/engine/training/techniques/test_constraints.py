"""Sparsity, decay and bounds of weights, against scikit-learn, Optax and NumPy."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from sklearn.linear_model import Lasso, Ridge

from hpo.engine.training.optimizers import Descent
from hpo.engine.training.techniques.constraints import constrained
from hpo.engine.training.techniques.layers import Layers
from hpo.spec.sections.optimizer import Adam, AdamW, Sgd
from hpo.spec.sections.updates import Updates
from tests.engine.samples import moment

_RNG = np.random.default_rng(3)
_X = _RNG.standard_normal((80, 6)).astype(np.float32)
_Y = (_X @ [2.0, -1.0, 0.5, 0.0, 0.0, 0.0] + 3 + 0.1 * _RNG.standard_normal(80)).astype(np.float32)
_START = {"head": {"kernel": jnp.zeros((6, 1)), "bias": jnp.zeros((1,))}}
_START_VECTOR, _PART = ravel_pytree(_START)
_LAYERS = Layers(_PART, lambda tree: ravel_pytree(tree)[0])


def _mean_squares(params: Any) -> Any:
    tree = _PART(params)
    return jnp.square((_X @ tree["head"]["kernel"])[:, 0] + tree["head"]["bias"] - _Y).mean()


def _gradient(params: Any) -> Any:
    loss, gradients = jax.value_and_grad(_mean_squares)(params)
    return loss, None, gradients


def _fitted(spec: Any, updates: Updates, steps: int = 400, rate: float = 0.2) -> Any:
    """Kernel and bias of a linear regression after descent with all training rows."""
    descent = Descent(spec, updates, _LAYERS)

    def step(carry: Any, number: Any) -> Any:
        _, _, params, state = descent.step(_gradient, carry[1], carry[0], rate, moment(number))
        return (params, state), None

    start = _START_VECTOR, descent.start(spec, updates, np.asarray(_START_VECTOR))
    tree = _PART(jax.jit(lambda: jax.lax.scan(step, start, jnp.arange(steps))[0][0])())
    return np.asarray(tree["head"]["kernel"])[:, 0], float(tree["head"]["bias"][0])


@pytest.mark.parametrize("alpha", [0.05, 0.6])
def test_l1_finds_the_lasso_of_scikit_learn_with_the_same_zeros(alpha: float) -> None:
    # Lasso halves the mean square.
    updates = Updates(l1=2 * alpha, decay_on="kernels")
    kernel, bias = _fitted(Sgd(name="sgd", momentum=0.0), updates)
    theirs = Lasso(alpha=alpha, tol=1e-8).fit(_X.astype(np.float64), _Y)
    np.testing.assert_allclose(kernel, theirs.coef_, atol=1e-4)
    assert bias == pytest.approx(theirs.intercept_, abs=1e-4)
    np.testing.assert_array_equal(kernel == 0, theirs.coef_ == 0)
    assert 0 < (kernel == 0).sum() < 6


def test_decay_of_kernels_alone_finds_the_ridge_of_scikit_learn() -> None:
    spec = Sgd(name="sgd", momentum=0.0, weight_decay=0.4)
    kernel, bias = _fitted(spec, Updates(decay_on="kernels"))
    theirs = Ridge(alpha=len(_X) * 0.4 / 2).fit(_X, _Y)
    np.testing.assert_allclose(kernel, theirs.coef_, atol=1e-4)
    assert bias == pytest.approx(theirs.intercept_, abs=1e-4)
    assert abs(_fitted(spec, Updates())[1] - bias) > 0.1


def test_decoupled_decay_of_kernels_is_the_masked_one_of_optax() -> None:
    theirs = optax.adamw(
        0.05, weight_decay=0.3, mask=lambda tree: jax.tree.map(lambda a: a.ndim > 1, tree)
    )
    tree, state = _START, theirs.init(_START)
    for _ in range(10):
        gradients = _PART(_gradient(_LAYERS.join(tree))[2])
        moved, state = theirs.update(gradients, state, tree)
        tree = optax.apply_updates(tree, moved)
    spec = AdamW(name="adamw", weight_decay=0.3)
    kernel, bias = _fitted(spec, Updates(decay_on="kernels"), steps=10, rate=0.05)
    np.testing.assert_allclose(kernel, tree["head"]["kernel"][:, 0], rtol=1e-4)
    assert bias == pytest.approx(float(tree["head"]["bias"][0]), rel=1e-4)


def test_accumulated_batches_shrink_weights_once_an_update() -> None:
    spec = Sgd(name="sgd", momentum=0.0)
    plain, _ = _fitted(spec, Updates(l1=0.1), steps=5)
    joined, _ = _fitted(spec, Updates(l1=0.1, accumulate=3), steps=15)
    np.testing.assert_allclose(joined, plain, rtol=1e-5)


def test_the_weights_into_a_unit_are_scaled_to_the_norm() -> None:
    kernel = np.array([[3.0, 0.3, 0.0], [4.0, 0.4, 0.0]], np.float32)
    tree = {"dense": {"kernel": kernel, "bias": np.full(3, 9.0, np.float32)}}
    vector, part = ravel_pytree(tree)
    layers = Layers(part, lambda leaves: ravel_pytree(leaves)[0])
    found = part(constrained(Updates(max_norm=2.0), layers, vector, 0.1, 0))
    expected = [[1.2, 0.3, 0.0], [1.6, 0.4, 0.0]]
    np.testing.assert_allclose(found["dense"]["kernel"], expected, rtol=1e-6)
    np.testing.assert_array_equal(found["dense"]["bias"], tree["dense"]["bias"])


def test_weights_stay_within_the_norm_all_through_training() -> None:
    kernel, _ = _fitted(Adam(name="adam"), Updates(max_norm=0.5), steps=50)
    assert np.linalg.norm(kernel) == pytest.approx(0.5, rel=1e-5)
