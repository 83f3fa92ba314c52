"""Pooling against Flax's own, and by hand where Flax has none."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hpo.engine.models.pooling import pooled, pooled_size
from hpo.spec.sections.models.images import Pooling


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("name", ["max", "avg"])
@pytest.mark.parametrize(("size", "stride"), [(3, None), (3, 2), (2, 3)])
def test_values_and_gradients_are_those_of_flax(
    size: int, stride: int | None, name: str, padding: str
) -> None:
    pooling = Pooling(name=name, padding=padding, size=size, stride=stride)
    # Whole numbers, so that windows have ties, and no rounding.
    x = np.random.default_rng(0).integers(-3, 3, (2, 5, 7, 2)).astype(np.float32)
    window, strides = (size, size), (stride or size,) * 2

    def theirs(x: Any) -> Any:
        if name == "max":
            return nnx.max_pool(x, window, strides, padding.upper())
        return nnx.avg_pool(x, window, strides, padding.upper(), count_include_pad=False)

    @jax.jit
    def both(x: Any) -> Any:
        results = []
        for pool in (lambda x: pooled(x, pooling), theirs):
            y, back = jax.vjp(pool, x)
            results.append((y, *back(1 + jnp.arange(y.size, dtype=jnp.float32).reshape(y.shape))))
        return results

    ours, expected = both(x)
    assert ours[0].shape[1:3] == (pooled_size(5, pooling), pooled_size(7, pooling))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), ours, expected)


@pytest.mark.parametrize("name", ["max", "avg"])
def test_a_window_is_at_most_as_large_as_the_image(name: str) -> None:
    x = np.arange(6, dtype=np.float32).reshape(1, 2, 3, 1)
    pooling = Pooling(name=name, size=4)
    assert np.ravel(pooled(x, pooling)) == [{"max": 5, "avg": 2.5}[name]]
    assert pooled_size(2, pooling) == pooled_size(3, pooling) == 1


def test_half_precision_stays_and_means_are_summed_in_full_precision() -> None:
    x = jnp.full((1, 5, 5, 1), 11, jnp.bfloat16)
    y = jax.jit(lambda x: pooled(x, Pooling(name="avg", size=5)))(x)
    # bfloat16 represents whole numbers only up to 256.
    assert (y.dtype, float(y[0, 0, 0, 0])) == (jnp.bfloat16, 11)


def test_no_pooling_leaves_an_image_as_it_is() -> None:
    x = jnp.ones((1, 3, 3, 1))
    assert pooled(x, Pooling(name="none")) is x
    assert pooled_size(3, Pooling(name="none")) == 3


@pytest.mark.parametrize("options", [{}, {"stride": 2}], ids=["default", "general"])
@pytest.mark.parametrize(
    ("rows", "gradient"),
    [
        # Windows of 2x2: only the largest value has a gradient. An odd last row and column have
        # none.
        ([[1, 2, 9], [4, 3, 9], [9, 9, 9]], [[0, 0, 0], [5, 0, 0], [0, 0, 0]]),
        ([[7, 7, 1, 0], [7, 7, 2, 2]], [[5, 0, 0, 0], [0, 0, 6, 0]]),  # the first of ties
        ([[3, 8, 8]], [[0, 5, 0]]),  # one row: windows of 1x2
    ],
)
def test_the_gradient_of_pooling_goes_to_the_largest(
    rows: list[list[int]], gradient: list[list[int]], options: dict[str, Any]
) -> None:
    x = jnp.array(rows, jnp.float32)[None, :, :, None]
    y, back = jax.vjp(lambda x: pooled(x, Pooling(**options)), x)
    (dx,) = back(5 + jnp.arange(y.size, dtype=jnp.float32).reshape(y.shape))
    np.testing.assert_array_equal(dx[0, :, :, 0], gradient)
