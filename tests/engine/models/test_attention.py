"""Attention is the equation of its paper, and Flax's with the same weights."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import softmax

from hpo.engine.models.attention import (
    Attention,
    attention,
    earlier,
    head_size,
    rotated,
    sinusoids,
)

ROWS, PLACES, HEADS, SIZE = 3, 5, 2, 4


_attention = jax.jit(attention)  # one compile instead of one for every operation


def _draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _by_hand(q: np.ndarray, k: np.ndarray, v: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Equation 1 for each row and head, over the places that are seen."""
    found = np.zeros((*q.shape[:-1], v.shape[-1]))
    for row, place, head in np.ndindex(*q.shape[:-1]):
        there = np.flatnonzero(np.broadcast_to(seen, (ROWS, 1, PLACES, PLACES))[row, 0, place])
        if len(there):
            fits = k[row, there, head].astype(np.float64) @ q[row, place, head] / np.sqrt(SIZE)
            found[row, place, head] = softmax(fits) @ v[row, there, head]
    return found


_SEEN = {
    "all": np.ones((1, 1, 1, PLACES), bool),
    "earlier": np.tril(np.ones((PLACES, PLACES), bool))[None, None],
    # The second row has one place, the third none.
    "padded": (np.arange(PLACES) < np.array([[4], [1], [0]]))[:, None, None],
}


@pytest.mark.parametrize("kind", _SEEN)
def test_attention_is_equation_1_over_the_places_that_are_seen(kind: str) -> None:
    q, k, v = (_draw(ROWS, PLACES, HEADS, SIZE, seed=seed) for seed in range(3))
    found = _attention(q, k, v, _SEEN[kind])
    np.testing.assert_allclose(found, _by_hand(q, k, v, _SEEN[kind]), rtol=1e-5, atol=1e-6)
    if kind == "all":
        np.testing.assert_allclose(found, _attention(q, k, v), rtol=1e-6)


def test_earlier_places_are_those_up_to_the_place_itself() -> None:
    np.testing.assert_array_equal(earlier(PLACES), _SEEN["earlier"])


def test_what_a_place_does_not_see_has_no_weight_and_no_gradient() -> None:
    q, k, v = (jnp.array(_draw(ROWS, PLACES, HEADS, SIZE, seed=seed)) for seed in range(3))
    seen = jnp.array(_SEEN["padded"])
    other = jnp.where(seen[:, 0, 0, :, None, None], 0.0, 1e30)
    found = _attention(q, k, v, seen)
    np.testing.assert_array_equal(found, _attention(q, k + other, v, seen))
    np.testing.assert_array_equal(found, _attention(q, k, v + other, seen))
    loss = lambda *qkv: jnp.square(attention(*qkv, seen)).sum()  # noqa: E731
    grads = jax.jit(jax.grad(loss, (0, 1, 2)))(q, k, v)
    assert all(np.isfinite(grad).all() for grad in grads)
    for grad in grads[1:]:
        assert (np.asarray(grad)[~_SEEN["padded"][:, 0, 0]] == 0).all()


def _layers(width: int = HEADS * SIZE) -> tuple[Attention, nnx.MultiHeadAttention]:
    """Ours, and Flax's with the same weights."""
    ours = Attention(width, HEADS, jnp.float32, nnx.Rngs(0))
    flax = nnx.MultiHeadAttention(HEADS, width, decode=False, rngs=nnx.Rngs(0))
    kernel, bias = _draw(width, 3, HEADS, SIZE), _draw(3, HEADS, SIZE, seed=1)
    ours.joint.kernel[...] = kernel.reshape(width, -1)
    ours.joint.bias[...] = bias.reshape(-1)
    for place, part in enumerate((flax.query, flax.key, flax.value)):
        part.kernel[...], part.bias[...] = jnp.array(kernel[:, place]), jnp.array(bias[place])
    out, out_bias = _draw(width, width, seed=2), _draw(width, seed=3)
    ours.out.kernel[...], ours.out.bias[...] = jnp.array(out), jnp.array(out_bias)
    flax.out.kernel[...] = out.reshape(HEADS, SIZE, width)
    flax.out.bias[...] = jnp.array(out_bias)
    return ours, flax


@pytest.mark.parametrize("kind", ["all", "earlier"])
def test_values_and_gradients_are_those_of_flax_with_the_same_weights(kind: str) -> None:
    ours, flax = _layers()
    x, seen = jnp.array(_draw(ROWS, PLACES, HEADS * SIZE, seed=4)), jnp.array(_SEEN[kind])

    def gradients(name: str, model: Any) -> Any:
        def loss(model: Any, x: Any) -> Any:
            y = model(x, **{name: seen})
            return jnp.sin(y).mean(), y

        return nnx.jit(nnx.grad(loss, argnums=(0, 1), has_aux=True))(model, x)

    ((mine, dx), y), ((theirs, flax_dx), flax_y) = gradients("seen", ours), gradients("mask", flax)
    np.testing.assert_allclose(y, flax_y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dx, flax_dx, rtol=1e-4, atol=1e-6)
    parts = [theirs[name]["kernel"][...] for name in ("query", "key", "value")]
    joint = np.stack(parts, axis=1).reshape(HEADS * SIZE, -1)
    np.testing.assert_allclose(mine["joint"]["kernel"][...], joint, rtol=1e-4, atol=1e-6)


def test_in_bfloat16_weights_are_computed_in_float32() -> None:
    # 300 equal places: a sum of weights in bfloat16 would stop growing at 1 / 256 of its steps.
    places = 300
    q = k = jnp.zeros((1, places, 1, SIZE), jnp.bfloat16)
    v = jnp.ones((1, places, 1, SIZE), jnp.bfloat16)
    found = _attention(q, k, v)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(found, np.float32), 1.0, rtol=0.01)
    text = str(jax.make_jaxpr(attention)(q, k, v))
    assert f"f32[1,1,{places},{places}] = exp" in text


def test_rotation_turns_pairs_as_complex_numbers_and_leaves_only_distances() -> None:
    x = _draw(ROWS, PLACES, HEADS, SIZE)
    pairs = x[..., : SIZE // 2] + 1j * x[..., SIZE // 2 :].astype(np.complex128)
    turns = np.exp(1j * np.arange(PLACES)[:, None] / 10_000 ** (np.arange(SIZE // 2) * 2 / SIZE))
    turned = pairs * turns[:, None]
    by_hand = np.concatenate([turned.real, turned.imag], axis=-1)
    np.testing.assert_allclose(rotated(jnp.array(x)), by_hand, rtol=1e-4, atol=1e-5)
    # The same query and key at every place.
    q, k = (np.tile(_draw(1, 1, 1, SIZE, seed=seed), (1, PLACES, 1, 1)) for seed in (1, 2))
    q, k = (np.asarray(rotated(jnp.array(one)))[0, :, 0] for one in (q, k))
    fits = q @ k.T
    np.testing.assert_allclose(fits[1:, 1:], fits[:-1, :-1], rtol=1e-4, atol=1e-5)


def test_sinusoids_are_those_of_the_paper() -> None:
    found = sinusoids(7, 6)
    for place, pair in np.ndindex(7, 3):
        angle = place / 10_000 ** (2 * pair / 6)
        np.testing.assert_allclose(
            found[place, 2 * pair : 2 * pair + 2], [np.sin(angle), np.cos(angle)]
        )
    assert sinusoids(7, 5).shape == (7, 5)


@pytest.mark.parametrize(
    ("width", "heads", "rotary", "size"), [(8, 2, False, 4), (8, 3, False, 3), (8, 3, True, 4)]
)
def test_any_width_has_any_number_of_heads(width: int, heads: int, rotary: bool, size: int) -> None:
    assert head_size(width, heads, rotary=rotary) == size
    layer = Attention(width, heads, jnp.float32, nnx.Rngs(0), rotary=rotary)
    x = jax.ShapeDtypeStruct((2, PLACES, width), jnp.float32)
    assert jax.eval_shape(layer, x).shape == x.shape
    assert layer.out.kernel.shape == (heads * size, width)
