"""Updates of gradients that treat layers apart, against Optax and by hand; noise by place."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from hpo.engine.models.dropout import mask_key, standard_normal
from hpo.engine.training.optimizers import Descent
from hpo.engine.training.techniques.gradients import (
    at_noisy_weights,
    centralized,
    clipped_adaptively,
    noisy,
)
from hpo.engine.training.techniques.layers import Layers
from hpo.spec.merging import served
from hpo.spec.sections.optimizer import Sgd
from hpo.spec.sections.updates import Updates
from tests.engine.samples import a_training, moment

_SHAPES = {"conv": (3, 3, 2, 5), "dense": (7, 4), "head": (4, 3)}


def _tree(seed: int, shapes: dict[str, tuple[int, ...]], scale: float = 1.0) -> Any:
    rng = np.random.default_rng(seed)
    return {
        name: {
            "kernel": jnp.asarray(scale * rng.standard_normal(shape), jnp.float32),
            "bias": jnp.asarray(scale * rng.standard_normal(shape[-1:]), jnp.float32),
        }
        for name, shape in shapes.items()
    }


def _layers(tree: Any) -> Layers:
    _, part = ravel_pytree(tree)
    return Layers(part, lambda leaves: ravel_pytree(leaves)[0])


def _applied(make: Any, gradients: Any, weights: Any) -> Any:
    """The tree of gradients after a transformation of the vector of all of them."""
    layers = _layers(weights)
    transformation = make(layers)
    found, _ = transformation.update(
        layers.join(gradients), transformation.init(None), layers.join(weights)
    )
    return layers.part(found)


def test_adaptive_clipping_is_that_of_optax_but_for_the_head() -> None:
    weights, gradients = _tree(0, _SHAPES), _tree(1, _SHAPES, scale=0.05)
    found = _applied(lambda layers: clipped_adaptively(0.05, layers), gradients, weights)
    theirs, _ = optax.adaptive_grad_clip(0.05).update(gradients, optax.EmptyState(), weights)
    assert not np.allclose(theirs["head"]["kernel"], gradients["head"]["kernel"])
    theirs["head"] = gradients["head"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, theirs)


@pytest.mark.parametrize("shape", [(5, 1), (1, 5)])
def test_a_layer_clips_alone_as_in_a_larger_array(shape: tuple[int, int]) -> None:
    weights, gradients = (_tree(seed, {"dense": shape}) for seed in (0, 1))
    wide = [
        {"dense": {"kernel": np.zeros((6, 8), np.float32), "bias": np.zeros(8, np.float32)}}
        for _ in range(2)
    ]
    for large, small in zip(wide, (weights, gradients), strict=True):
        large["dense"]["kernel"][: shape[0], : shape[1]] = small["dense"]["kernel"]
        large["dense"]["bias"][: shape[1]] = small["dense"]["bias"]

    def clipped(gradients: Any, weights: Any) -> Any:
        found = _applied(lambda layers: clipped_adaptively(0.3, layers), gradients, weights)
        return found["dense"]["kernel"][: shape[0], : shape[1]]

    alone = clipped(gradients, weights)
    np.testing.assert_allclose(clipped(wide[1], wide[0]), alone, rtol=1e-6)
    assert np.abs(alone - gradients["dense"]["kernel"]).max() > 0.1


def test_centralized_gradients_are_those_of_optax_with_units_last() -> None:
    gradients = _tree(1, _SHAPES)
    found = _applied(centralized, gradients, gradients)
    # Optax takes the first axis for that of the units.
    turned = jax.tree.map(lambda a: jnp.moveaxis(a, -1, 0), gradients)
    theirs, _ = optax.centralize().update(turned, optax.EmptyState())
    for name in _SHAPES:
        expected = jnp.moveaxis(theirs[name]["kernel"], 0, -1)
        np.testing.assert_allclose(found[name]["kernel"], expected, atol=1e-6)
        np.testing.assert_allclose(
            found[name]["kernel"].sum((*range(expected.ndim - 1),)), 0, atol=1e-5
        )
        np.testing.assert_array_equal(found[name]["bias"], gradients[name]["bias"])


@pytest.mark.parametrize("step", [0, 99])
def test_the_variance_of_noise_falls_by_the_power_of_neelakantan(step: int) -> None:
    weights = {"a": jnp.zeros((100, 120)), "b": jnp.zeros((8000,))}
    drawn = _applied(lambda layers: noisy(0.3, layers, moment(step)), weights, weights)
    both, variance = np.concatenate([drawn["a"].ravel(), drawn["b"]]), 0.3 / (1 + step) ** 0.55
    assert both.var() == pytest.approx(variance, rel=0.04)
    assert abs(both.mean()) < 4 * (variance / both.size) ** 0.5
    assert np.mean(both > 1.96 * variance**0.5) == pytest.approx(0.025, abs=0.005)
    assert len(np.unique(both)) > 0.99 * both.size


def test_noise_is_by_the_place_in_the_array_and_another_in_each_step_trial_and_array() -> None:
    small = standard_normal(mask_key(*moment()), 3, (2, 3, 4, 5))
    large = standard_normal(mask_key(*moment()), 3, (3, 3, 6, 9))
    np.testing.assert_array_equal(small, large[:2, :3, :4, :5])
    assert len(np.unique(large)) == large.size
    for other in (moment(step=1), moment(seed=1)):
        assert not np.isin(standard_normal(mask_key(*other), 3, small.shape), small).any()
    assert not np.isin(standard_normal(mask_key(*moment()), 4, small.shape), small).any()


def test_the_gradient_is_that_at_noisy_weights_and_the_step_starts_at_the_weights() -> None:
    weights = {"a": jnp.full((200,), 2.0)}
    layers = _layers(weights)
    updates = Updates(weight_noise=0.5)

    def gradient(params: Any) -> Any:
        return (params**2).sum(), None, 2 * params

    _, _, found = at_noisy_weights(gradient, updates, layers, moment())(layers.join(weights))
    assert np.std(found) == pytest.approx(2 * 0.5, rel=0.15)
    descent = Descent(Sgd(name="sgd", momentum=0.0), updates, layers)
    start = layers.join(weights)
    _, _, after, _ = descent.step(
        gradient, descent.start(descent.optimizer, updates, start), start, 0.1, moment()
    )
    np.testing.assert_allclose(after, start - 0.1 * found, rtol=1e-6)


@pytest.mark.parametrize("updates", [{"centralize": True}, {"noise": 0.1}, {"weight_noise": 0.1}])
def test_models_train_in_arrays_of_their_own_sizes(updates: dict[str, Any]) -> None:
    merged = {"widths": [[4], [8]], "batch_size": [8, 16]}
    train = {"epochs": 2, "merged": merged}
    assert {*served(a_training(train=train))} == {"model.widths", "data.batch_size"}
    assert {*served(a_training(train=train, updates=updates))} == {"data.batch_size"}
