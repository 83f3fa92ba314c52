"""Dropout: the elements that it keeps, its masks, and programs without it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpo.engine.models.dropout import Dropout, MaskKey, dropped, mask_key, normal_of, random_words

_SIZE = 65_536


def _key(trial: int, step: int) -> MaskKey:
    """The key of a step of a trial of the study with seed 0."""
    return mask_key(jnp.array([0, trial], jnp.uint32), jnp.int32(step))


_KEY = _key(0, 0)


@jax.jit
def _dropped(rate: float, key: MaskKey, x: jax.Array) -> jax.Array:
    return Dropout(rate, key)(x, layer=0)


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.9])
def test_the_rate_is_the_share_that_is_dropped(rate: float) -> None:
    share = float((_dropped(rate, _KEY, jnp.ones(_SIZE)) == 0).mean())
    # Five standard deviations of a binomial share.
    assert share == pytest.approx(rate, abs=5 * np.sqrt(rate * (1 - rate) / _SIZE))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_the_expected_activation_is_preserved(rate: float) -> None:
    mean = float(_dropped(rate, _KEY, jnp.full(_SIZE, 3.0)).mean())
    assert mean == pytest.approx(3.0, abs=1e-5 + 5 * 3 * np.sqrt(rate / (1 - rate) / _SIZE))


def test_kept_elements_are_scaled_by_the_share_kept() -> None:
    x = jnp.arange(1.0, _SIZE + 1)
    dropped = np.asarray(_dropped(0.25, _KEY, x))
    kept = dropped != 0
    np.testing.assert_allclose(dropped[kept], np.asarray(x)[kept] / 0.75, rtol=1e-6)


def test_a_traced_rate_of_zero_keeps_everything() -> None:
    x = jnp.linspace(-1, 1, _SIZE)
    np.testing.assert_array_equal(_dropped(0.0, _KEY, x), x)


@pytest.mark.parametrize("rate", [0.99, 0.9999999, 1 - 1e-12])  # the last is 1 in float32
def test_a_rate_near_one_stays_finite_and_so_does_its_gradient(rate: float) -> None:
    x = jnp.ones(_SIZE)
    assert np.isfinite(_dropped(rate, _KEY, x)).all()
    assert np.isfinite(jax.grad(lambda x: _dropped(rate, _KEY, x).sum())(x)).all()


def test_the_gradient_goes_through_kept_elements_only() -> None:
    x = jnp.ones(_SIZE)
    gradient = jax.grad(lambda x: _dropped(0.5, _KEY, x).sum())(x)
    np.testing.assert_array_equal(gradient, _dropped(0.5, _KEY, x))


def test_each_layer_draws_a_mask_of_its_own() -> None:
    @jax.jit
    def two_layers(rate: float, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        dropout = Dropout(rate, _KEY)
        return dropout(x, layer=0), dropout(x, layer=1)

    first, second = (np.asarray(y) != 0 for y in two_layers(0.5, jnp.ones(_SIZE)))
    # Two independent masks of rate 0.5 agree on half of the elements.
    assert float((first == second).mean()) == pytest.approx(0.5, abs=0.01)


def test_a_part_of_a_batch_has_the_mask_of_its_rows() -> None:
    whole = Dropout(0.5, _KEY)(jnp.ones((32, 8)), layer=1)
    parts = [Dropout(0.5, _KEY, first_row=n)(jnp.ones((8, 8)), layer=1) for n in (0, 8, 16, 24)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_another_key_draws_another_mask_and_the_same_key_the_same() -> None:
    x = jnp.ones(_SIZE)
    again, other = _dropped(0.5, _KEY, x), _dropped(0.5, _key(0, 1), x)
    np.testing.assert_array_equal(_dropped(0.5, _KEY, x), again)
    assert float((again == other).mean()) == pytest.approx(0.5, abs=0.01)


def test_evaluation_drops_nothing() -> None:
    x = jnp.ones(3)
    assert Dropout(0.5, None)(x, layer=0) is x


def _operations(rate: float | None) -> str:
    """The program text of one step of dropout; None for a traced rate."""
    x = jnp.ones(8)
    if rate is None:
        return str(jax.make_jaxpr(lambda rate, key: Dropout(rate, key)(x, 0))(0.0, _KEY))
    return str(jax.make_jaxpr(lambda key: Dropout(rate, key)(x, 0))(_KEY))


def test_dropout_that_is_switched_off_draws_nothing() -> None:
    assert "select_n" in _operations(None)
    assert _operations(0.0).count("=") == 0


@pytest.mark.parametrize("shape", [(1,), (3,), (4, 5), (2, 3, 7)])
def test_dropout_takes_any_shape(shape: tuple[int, ...]) -> None:
    assert Dropout(0.5, _KEY)(jnp.ones(shape), layer=0).shape == shape


def _masks() -> dict[str, np.ndarray]:
    """Masks of rate 0.5, as -1 and 1, that a training uses close to each other."""
    keys = {"a step": _key(0, 7), "the next step": _key(0, 8), "another trial": _key(1, 7)}
    x = jnp.ones((_SIZE // 128, 128))
    masks = {name: _dropped(0.5, key, x) for name, key in keys.items()}
    dropout = Dropout(0.5, keys["a step"])
    assert np.array_equal(dropout(x, layer=0), masks["a step"])
    masks["the next layer"] = dropout(x, layer=1)
    return {name: np.asarray(mask).reshape(-1) - 1.0 for name, mask in masks.items()}


def test_no_mask_is_equal_to_another_one_or_a_shifted_copy() -> None:
    masks = list(_masks().values())
    for i, one in enumerate(masks):
        for other in masks[i:]:
            for shift in (*range(1, 40), 64, 100, 128, 256, 512, 1000, 1024, 4096):
                correlation = float((one[shift:] * other[:-shift]).mean())
                assert abs(correlation) < 6 / np.sqrt(_SIZE - shift)


def test_drops_of_an_element_over_steps_and_trials_follow_the_binomial_distribution() -> None:
    """The numbers of drops of each element over 4,096 keys follow the binomial distribution."""
    words = jax.jit(
        jax.vmap(lambda t, s: random_words(mask_key(jnp.stack([t * 0, t]), s), 0, (8, 16)))
    )
    trials, steps = np.divmod(np.arange(4096), 64)
    drawn = np.asarray(words(trials.astype(np.uint32), steps.astype(np.int32)))
    counts = (drawn < 2**31).sum(0)
    z = (counts - 2048) / 32
    assert abs(z).max() < 4.5
    assert 0.7 < z.std() < 1.3
    assert len(np.unique(drawn)) > drawn.size * 0.9999 - 64


def test_places_of_a_sequence_have_masks_of_their_own_however_many_there_are() -> None:
    masks = np.asarray(dropped(Dropout(0.5, _KEY), jnp.ones((8, 6, 40)), layer=1))
    assert len(np.unique(masks.reshape(48, 40), axis=0)) == 48
    longer = dropped(Dropout(0.5, _KEY), jnp.ones((8, 9, 40)), layer=1)
    np.testing.assert_array_equal(longer[:, :6], masks)


def test_no_word_gives_an_infinite_normal_number() -> None:
    words = np.array([0, 2**31 - 1, 2**31, 2**32 - 1], np.uint32)
    found = np.asarray(normal_of(jnp.asarray(words)))
    np.testing.assert_allclose(found, -found[::-1], rtol=1e-5)
    assert 5 < found[-1] < 6
