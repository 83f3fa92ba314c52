"""Convolutions: every form gives JAX's own convolution and its gradients."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hpo.engine.models.convolution import as_lax, convolve, output_size


def _jax_own(x: Any, kernel: Any, stride: int = 1, padding: Any = "same", groups: int = 1) -> Any:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding.upper() if isinstance(padding, str) else padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "platform"),
    [
        ((2, 5, 4, 3), (1, 1, 3, 2), "cpu"),
        ((2, 5, 4, 1), (3, 3, 1, 4), "cpu"),
        ((2, 6, 6, 3), (4, 4, 3, 2), "cpu"),
        ((2, 5, 4, 8), (3, 3, 8, 2), "cpu"),
        ((2, 5, 6, 20), (2, 2, 20, 3), "cpu"),
        ((1, 7, 3, 5), (4, 5, 5, 2), "cpu"),
        ((1, 2, 2, 8), (5, 5, 8, 1), "cpu"),  # the window is larger than the image
        ((1, 7, 3, 5), (4, 5, 5, 2), "gpu"),
    ],
)
def test_values_and_gradients_are_those_of_jax(
    x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], platform: str
) -> None:
    x, kernel, dy = _arrays(x_shape, kernel_shape, (*x_shape[:3], kernel_shape[3]))

    @jax.jit
    def both(x: Any, kernel: Any, dy: Any) -> Any:
        y, gradients = jax.vjp(lambda *a: convolve(*a, platform), x, kernel)
        expected, expected_gradients = jax.vjp(_jax_own, x, kernel)
        return (y, gradients(dy)), (expected, expected_gradients(dy))

    ours, theirs = both(x, kernel, dy)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), ours, theirs)


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "stride", "padding", "groups", "platform"),
    [
        ((2, 7, 6, 3), (3, 3, 3, 4), 2, ((1, 1), (1, 1)), 1, "cpu"),
        ((2, 8, 9, 3), (3, 2, 3, 4), 3, "valid", 1, "cpu"),
        ((2, 7, 6, 2), (1, 1, 2, 3), 2, "same", 1, "cpu"),  # rows that no window meets
        ((3, 7, 5, 6), (3, 3, 2, 9), 2, "same", 3, "cpu"),
        ((3, 5, 4, 3), (3, 3, 1, 6), 1, "same", 3, "cpu"),  # two filters for each channel
        ((3, 5, 4, 6), (3, 3, 1, 6), 1, "same", 6, "cpu"),  # depthwise
        ((3, 7, 6, 4), (5, 3, 1, 4), 2, "valid", 4, "cpu"),
        ((3, 7, 6, 4), (5, 3, 2, 4), 2, "valid", 2, "gpu"),
    ],
    ids=str,
)
def test_strides_paddings_and_groups_give_the_values_and_gradients_of_jax(
    x_shape: tuple[int, ...],
    kernel_shape: tuple[int, ...],
    stride: int,
    padding: Any,
    groups: int,
    platform: str,
) -> None:
    x, kernel = _arrays(x_shape, kernel_shape)
    dy = np.random.default_rng(1).standard_normal(
        jax.eval_shape(lambda: _jax_own(x, kernel, stride, padding, groups)).shape
    )

    @jax.jit
    def both(x: Any, kernel: Any, dy: Any) -> Any:
        y, gradients = jax.vjp(
            lambda *a: convolve(*a, platform, stride, padding, groups), x, kernel
        )
        expected, expected_gradients = jax.vjp(
            lambda *a: _jax_own(*a, stride, padding, groups), x, kernel
        )
        return (y, gradients(dy)), (expected, expected_gradients(dy))

    ours, theirs = both(x, kernel, dy.astype(np.float32))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), ours, theirs)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("size", "window", "stride"), [(8, 3, 2), (7, 3, 2), (5, 5, 4), (2, 3, 1)])
def test_the_number_of_places_of_a_window_is_that_of_jax(
    size: int, window: int, stride: int, padding: str
) -> None:
    x, kernel = jnp.zeros((1, size, size, 1)), jnp.zeros((window, window, 1, 1))
    shape = jax.eval_shape(lambda: _jax_own(x, kernel, stride, padding)).shape
    assert shape[1] == output_size(size, window, stride, padding)


@pytest.mark.parametrize(
    ("examples", "cached_bytes"),
    [
        (1, 1),  # a single example exceeds the cache
        (6, 4 * 5 * 4 * (3 * 2 + 3) * 2),  # parts of two examples
        (7, 4 * 5 * 4 * (3 * 2 + 3) * 3),  # two parts of three, and one left over
    ],
)
def test_gradients_summed_over_parts_of_a_batch_are_those_of_jax(
    monkeypatch: pytest.MonkeyPatch, examples: int, cached_bytes: int
) -> None:
    monkeypatch.setattr("hpo.engine.models.convolution._CACHED_BYTES", cached_bytes)
    x, kernel, dy = _arrays((examples, 5, 4, 2), (3, 3, 2, 3), (examples, 5, 4, 3))
    ours = jax.vjp(lambda *a: convolve(*a, "cpu"), x, kernel)[1](dy)
    theirs = jax.vjp(_jax_own, x, kernel)[1](dy)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), ours, theirs)


def test_half_precision_gradients_are_summed_in_full_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hpo.engine.models.convolution._CACHED_BYTES", 1)  # an example in each part
    x, dy = (jnp.ones((1000, 1, 1, 1), jnp.bfloat16) for _ in range(2))
    kernel = jnp.ones((1, 1, 1, 1), jnp.bfloat16)
    gradient = jax.vjp(lambda k: convolve(x, k, "cpu"), kernel)[1](dy)[0]
    assert gradient.dtype == jnp.bfloat16
    # bfloat16 represents whole numbers only up to 256.
    assert float(gradient[0, 0, 0, 0]) == 1000


def test_a_depthwise_convolution_in_half_precision_is_summed_in_full_precision() -> None:
    x = jnp.ones((1000, 1, 1, 2), jnp.bfloat16)
    kernel = jnp.ones((1, 1, 1, 2), jnp.bfloat16)
    y, back = jax.vjp(lambda k: convolve(x, k, "cpu", groups=2), kernel)
    (gradient,) = back(x)
    assert y.dtype == gradient.dtype == jnp.bfloat16
    assert gradient.ravel().tolist() == [1000, 1000]


def test_a_value_is_the_sum_over_its_window() -> None:
    x, kernel = _arrays((1, 4, 4, 2), (3, 3, 2, 1))
    by_hand = (x[0, 0:3, 1:4] * kernel[..., 0]).sum()  # centred on row 1 and column 2
    for platform in ("cpu", "gpu"):
        assert convolve(x, kernel, platform)[0, 1, 2, 0] == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize(
    ("channels", "kernel_shape", "options"),
    [
        (2, (3, 3, 2, 2), ()),
        (8, (3, 3, 8, 2), ()),
        (4, (3, 3, 2, 2), (2, "valid", 2)),
        (2, (3, 3, 1, 2), (2, "same", 2)),
    ],
    ids=str,
)
def test_descent_inside_a_loop_is_that_of_jax_outside_of_it(
    channels: int, kernel_shape: tuple[int, ...], options: tuple[Any, ...]
) -> None:
    x, kernel = _arrays((2, 4, 4, channels), kernel_shape)

    def descend(convolution: Any, kernel: Any) -> Any:
        return kernel - 0.01 * jax.grad(lambda k: jnp.square(convolution(x, k) - 1).mean())(kernel)

    looped = jax.jit(
        lambda k: jax.lax.fori_loop(
            0, 3, lambda _, k: descend(lambda *a: convolve(*a, "cpu", *options), k), k
        )
    )
    step = jax.jit(lambda k: descend(lambda *a: _jax_own(*a, *options), k))
    np.testing.assert_allclose(looped(kernel), step(step(step(kernel))), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("kernel_shape", "options"),
    [((3, 3, 8, 2), ()), ((3, 3, 1, 8), (2, "same", 8))],
    ids=str,
)
def test_lanes_convolve_each_with_its_own_kernel(
    kernel_shape: tuple[int, ...], options: tuple[Any, ...]
) -> None:
    x, kernels = _arrays((2, 4, 4, 8), (3, *kernel_shape))

    def gradient(kernel: Any) -> Any:
        return jax.grad(lambda k: jnp.square(convolve(x, k, "cpu", *options)).sum())(kernel)

    together = jax.jit(jax.vmap(gradient))(kernels)
    alone = [jax.jit(gradient)(kernel) for kernel in kernels]
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kernel_size": (4, 4), "strides": 2},
        {"strides": (2, 1), "padding": "VALID"},
        {"padding": ((0, 2), (1, 0))},
        {"feature_group_count": 3},
    ],
    ids=str,
)
def test_a_convolution_of_flax_has_the_same_values_and_gradients(options: dict[str, Any]) -> None:
    layer = nnx.Conv(3, 6, **{"kernel_size": (3, 3), **options}, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (5, 9, 8, 3))
    layer.bias[...] = jax.random.normal(jax.random.key(2), (6,))

    def results() -> list[Any]:
        def loss(layer: Any, x: Any) -> Any:
            y = layer(x)
            return jnp.square(y).sum(), y

        both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
        (_, y), gradients = both(layer, x)
        return [y, gradients[1], *jax.tree.leaves(nnx.state(gradients[0]))]

    expected = results()
    layer.conv_general_dilated = as_lax
    for one, other in zip(results(), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)
