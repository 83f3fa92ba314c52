"""Functions with smaller arrays, operation by operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, lax

from hpo.trained.exported.slimming.slim import Network, slimmed

RNG = np.random.default_rng(3)
IMAGE = ("NHWC", "HWIO", "NHWC")


def conv(x: Any, kernel: Any, padding: str = "SAME", stride: int = 1, groups: int = 1) -> Any:
    strides = (stride, stride)
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=IMAGE, feature_group_count=groups
    )


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def largest(y: Any) -> Any:
    return lax.reduce_window(y, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "SAME")


def windows(y: Any) -> Any:
    return lax.reduce_window(y, 0.0, lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")


def decayed(y: Any) -> Any:
    """The state after each row of an image."""

    def step(state: Any, row: Any) -> tuple[Any, Any]:
        state = 0.5 * state + row
        return state, state

    return lax.scan(step, 0 * y[:, 0], y.swapaxes(0, 1), reverse=True)[1]


K = {shape: normal(*shape) for shape in ((3, 3, 6, 2), (2, 2, 6, 2), (3, 3, 1, 6), (3, 3, 3, 4))}
K |= {shape: normal(*shape) for shape in ((6, 3), (12, 3), (96, 3), (4, 6, 3))}
# What reads six filters of an image, of which three are cut and answer numbers other than 0.
READERS: list[Callable[[Any], Any]] = [
    lambda y: conv(y, K[3, 3, 6, 2]),
    lambda y: conv(y, K[3, 3, 6, 2], "VALID", 2),
    lambda y: conv(jnp.pad(y, ((0, 0), (1, 0), (0, 1), (0, 0))), K[2, 2, 6, 2], "VALID"),
    lambda y: conv(y, K[3, 3, 1, 6], groups=6) @ K[6, 3],
    lambda y: largest(y) @ K[6, 3],
    lambda y: windows(y) @ K[6, 3],
    lambda y: y.reshape(y.shape[0], -1) @ K[96, 3],
    lambda y: y.mean((1, 2)) @ K[6, 3],
    lambda y: (y * y.mean(-1, keepdims=True)) @ K[6, 3],
    lambda y: jnp.concatenate([y, 2 * y], -1) @ K[12, 3],
    lambda y: jnp.einsum("bhwc,wck->bwhk", y, K[4, 6, 3]),
    lambda y: jax.nn.softmax(y @ K[6, 3]),
    lambda y: jnp.einsum("bchw,ck->bkhw", y.transpose(0, 3, 1, 2), K[6, 3]),
    lambda y: (y.astype(jnp.bfloat16).astype(jnp.float32)) @ K[6, 3],
    lambda y: decayed(y) @ K[6, 3],
    # Kernels and numbers that are the same everywhere.
    lambda y: conv(y, jnp.full((2, 2, 1, 6), 0.25), "VALID", groups=6) @ K[6, 3],
    lambda y: conv(y, jnp.ones((3, 3, 6, 2)), "VALID"),
    lambda y: y @ K[6, 3] + jnp.full((*y.shape[:3], 5), 0.5) @ jnp.full((5, 3), 0.25),
    # Random numbers, of a key that is no array of NumPy.
    lambda y: y @ K[6, 3] @ jax.random.normal(jax.random.key(0), (3, 3)),
    # A loop over the rows of a batch.
    lambda y: lax.map(lambda one: one @ K[6, 3], y),
    # Products of complex numbers stay as they are.
    lambda y: jnp.abs((y * (1 + 1j)) @ (K[6, 3] * 1j)),
    # Windows of one number read zeros around all filters.
    lambda y: lax.reduce_window(y, 0.0, lax.add, (1,) * 4, (1,) * 4, [(0, 0)] * 3 + [(1, 1)]),
    # A unit of 0 without the mean of all is no longer known.
    lambda y: (y - y.mean(-1, keepdims=True)) @ K[6, 3],
    # Of two groups with three channels, the last ones go.
    lambda y: conv(y, K[3, 3, 3, 4], groups=2),
    lambda y: jnp.stack(jnp.split(y, 2, -1), -1).reshape(y.shape) @ K[6, 3],
]


@pytest.mark.parametrize("place", range(len(READERS)))
def test_smaller_arrays_give_the_same_outputs(place: int) -> None:
    kernel = normal(3, 3, 2, 6)
    kernel[..., [0, 2, 5]] = 0
    bias = np.array([0.5, -1, 2, 1, 0, -3], np.float32)

    def run(weights: Any, x: Any) -> Any:
        return READERS[place](jnp.tanh(conv(x, weights[0]) + weights[1]))

    network = Network(run, [kernel, bias])
    x = normal(3, 4, 4, 2)
    slim = slimmed(network, x)
    sizes = [one.shape[-1] for one in slim.weights]
    assert sizes[0] == sizes[1] <= 6
    np.testing.assert_allclose(slim.outputs(x), run(network.weights, x), rtol=1e-5, atol=1e-5)
    # And for any number of rows.
    (rows,) = export.symbolic_shape("rows")
    open_ = jax.ShapeDtypeStruct((rows, 4, 4, 2), np.float32)
    traced = export.export(jax.jit(slimmed(network, open_).outputs))(open_)
    np.testing.assert_allclose(traced.call(x), run(network.weights, x), rtol=1e-5, atol=1e-5)


def test_most_readers_lose_the_three_filters() -> None:
    kernel = normal(3, 3, 2, 6)
    kernel[..., [0, 2, 5]] = 0
    left = []
    for read in READERS:
        network = Network(lambda w, x, read=read: read(conv(x, w)), kernel)
        left.append(slimmed(network, normal(3, 4, 4, 2)).weights.shape[-1])
    assert left == [3] * (len(left) - 5) + [6, 6, 6, 4, 6]
