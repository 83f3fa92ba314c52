"""Operations of JAX as those of ONNX, compared by running both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend import core

from hpo.trained.exported.onnx_model import session
from hpo.trained.exported.operators import OPERATORS
from hpo.trained.exported.translation import UntranslatedError, translated

KERNEL = np.random.default_rng(2).normal(size=(3, 3, 4, 2)).astype(np.float32)
TABLE = np.arange(15, dtype=np.float32).reshape(5, 3)


@jax.custom_vjp
def _twice(x: Any) -> Any:
    return 2 * x


_twice.defvjp(lambda x: (2 * x, None), lambda _, dy: (2 * dy,))


def _elementwise(x: Any) -> Any:
    y = jnp.abs(x) + 0.5
    found = [
        *(jnp.abs(x), x + y, x - y, x * y, x / y, jnp.maximum(x, y), jnp.minimum(x, y)),
        *(lax.pow(y, x), jnp.exp(x), jnp.log(y), jnp.sqrt(y), -x, jnp.sign(x), jnp.floor(x)),
        *(jnp.ceil(x), jnp.round(x), lax.erf(x), lax.erfc(x), jnp.sin(x), jnp.cos(x), jnp.tan(x)),
        *(lax.asin(x / 9), lax.acos(x / 9), lax.atan(x), jnp.sinh(x), jnp.cosh(x), jnp.tanh(x)),
        *(lax.logistic(x), lax.rem(x, y), lax.square(x), lax.integer_pow(x, 3), lax.rsqrt(y)),
        *(lax.expm1(x), lax.log1p(y), lax.clamp(-0.5, x, 0.5), lax.stop_gradient(x), x**2),
        *(jax.nn.relu(x), jax.nn.gelu(x), _twice(x), jax.checkpoint(jnp.tanh)(x)),
        *(lax.optimization_barrier(x), lax.copy_p.bind(x)),
    ]
    return jnp.stack(found, -1)


def _truths(x: Any) -> Any:
    one, other = x > 0, x < 0.3
    found = [x == 0, x != 0, one, other, x >= 0, x <= 0, one & other, one | other, one ^ other]
    found += [~one, jnp.isfinite(x / jnp.maximum(x, 0))]
    counts = [jnp.where(each, x, 7.0) for each in found]
    whole = [one.all(-1, keepdims=True), one.any(-1, keepdims=True)]
    return jnp.stack([*counts, *(jnp.broadcast_to(each, x.shape) for each in whole)], -1)


def _sums(x: Any) -> Any:
    parts = [
        x.sum(1),
        x.max(1),
        x.min(1),
        x.prod(1),
        x.argmax(1),
        x.argmin(1),
        x.mean((0, 1))[None],
    ]
    return jnp.concatenate([each.astype(jnp.float32) for each in parts[:-1]], -1)


def _moved(x: Any) -> Any:
    first, second = jnp.split(x, [1], axis=2)
    padded = lax.pad(x, 1.5, [(0, 0, 0), (1, -1, 0), (0, 2, 0)])
    found = [first, second, padded, x[:, ::-1], x[:, :, 1:3], x[:, :, ::2], jnp.cumsum(x, 1)]
    found += [jnp.sort(x, axis=1), jnp.sort(x, axis=2)]
    found += [
        lax.dynamic_slice_in_dim(x, jnp.int32(1), 2, 2),
        x.transpose(0, 2, 1).reshape(x.shape),
    ]
    found += [jnp.tile(x, (1, 1, 2)), *(each[..., None] for each in jnp.unstack(x, axis=2))]
    found += [lax.broadcasted_iota(jnp.float32, x.shape, 1)]
    return jnp.concatenate(found, 2)


def _loop(x: Any) -> Any:
    def step(carry: Any, now: Any) -> Any:
        carry = carry * 0.5 + now @ TABLE[:3]
        return carry, carry.sum(-1)

    start = jnp.zeros((x.shape[0], 3))
    last, sums = lax.scan(step, start, x.swapaxes(0, 1), reverse=True)
    # And a loop that gives its last state alone.
    alone, _ = lax.scan(lambda carry, now: (carry - now, None), start, x.swapaxes(0, 1))
    return jnp.concatenate([last, sums.T, alone], 1)


def _products(x: Any) -> Any:
    inner = jnp.einsum("btc,bsc->bts", x, x)
    return jnp.concatenate(
        [x @ TABLE[:3], inner, lax.dot_general(x, TABLE, (((2,), (1,)), ((), ())))], 2
    )


def _places(x: Any) -> Any:
    index = x.astype(jnp.int32)[:, 0] % 5
    return jnp.concatenate(
        [jnp.take(TABLE, index, axis=0), jnp.take(TABLE[:3], index, axis=1).T[:, :0]], 1
    )


def _images(x: Any) -> Any:
    convolved = lax.conv_general_dilated(
        x, KERNEL, (2, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), rhs_dilation=(1, 2)
    )
    pool = partial(lax.reduce_window, window_dimensions=(1, 2, 2, 1), window_strides=(1, 2, 1, 1))
    largest = pool(convolved, -jnp.inf, lax.max, padding="SAME")
    sums = pool(convolved, 0.0, lax.add, padding=((0, 0), (0, 1), (1, 0), (0, 0)))
    return jnp.concatenate([largest, sums], -1)


CASES: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "elementwise": (_elementwise, (3,)),
    "truths": (_truths, (3,)),
    "sums": (_sums, (4, 3)),
    "moved": (_moved, (4, 3)),
    "loop": (_loop, (4, 3)),
    "products": (_products, (4, 3)),
    "places": (_places, (2,)),
    "images": (_images, (6, 5, 4)),
    "repeated alone": (lambda x: jnp.broadcast_to(x[:, :1], x.shape) + 1, (3,)),
}


def _primitives(jaxpr: Any) -> Iterator[str]:
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for inner in core.jaxprs_in_params(equation.params):
            yield from _primitives(inner)


@pytest.mark.parametrize("name", CASES)
def test_the_engine_gives_what_jax_gives_for_any_batch(name: str) -> None:
    function, shape = CASES[name]
    engine = session(translated(function, shape, np.float32, OPERATORS).SerializeToString())
    for rows in (1, 7):
        x = np.random.default_rng(rows).normal(0, 2, (rows, *shape)).astype(np.float32)
        expected = np.asarray(jax.jit(function)(x))
        (found,) = engine.run(None, {"x": x})
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


def test_every_operator_is_in_a_case() -> None:
    seen: set[str] = set()
    for function, shape in CASES.values():
        seen |= {*_primitives(jax.make_jaxpr(function)(np.zeros((2, *shape), np.float32)).jaxpr)}
    # Releases of JAX have one name or the other. Roundings are among the tests of networks.
    others = {"checkpoint", "remat2", "stack", "unstack", "tile", "in_levels"}
    assert OPERATORS.keys() - seen <= others


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: lax.cummax(x, 1), "JAX's operation cummax has no translation"),
        (lambda x: x[:, jnp.arange(2)] + jnp.arange(x.shape[0])[:, None], "counting the rows"),
        (lambda x: jnp.argsort(x, 1), "sorting one array by another"),
        (lambda x: x + np.ones((x.shape[0], 1), np.float32), "as many rows as the batch"),
        (lambda x: x.sum(0), "no axis for the rows"),
    ],
)
def test_an_operation_without_a_translation_is_named(
    function: Callable[[Any], Any], message: str
) -> None:
    with pytest.raises(UntranslatedError, match=message):
        translated(function, (3,), np.float32, OPERATORS)
