"""What is known of values, whatever a function reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from hpo.trained.exported.slimming.known import Known, known_of, what_is_known
from hpo.trained.exported.slimming.smaller import in_operations

# The second unit reads nothing.
DENSE = np.array([[1, 0, 2], [3, 0, 0]], np.float32)
WINDOW = np.ones((3, 3, 1, 2), np.float32) * np.array([1, 0], np.float32)
NAN = np.nan


def known(
    run: Callable[..., Any], weights: list[np.ndarray], shape: tuple[int, ...]
) -> list[float]:
    """The numbers that are known of a function's output along its last axis; NaN for others."""
    x = jax.ShapeDtypeStruct((5, *shape), np.float32)
    jaxpr, consts = in_operations(run, *weights, x)
    found: Known = known_of(jaxpr.outvars[0], what_is_known(jaxpr, [*consts, *weights]))
    return np.where(found.where, found.numbers, np.nan).reshape(-1).tolist()


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (lambda w, x: x @ w, [NAN, 0, NAN]),
        (lambda w, x: x @ w + np.arange(3, dtype=np.float32), [NAN, 1, NAN]),
        (lambda w, x: jax.nn.sigmoid(x @ w), [NAN, 0.5, NAN]),
        (lambda w, x: jax.nn.relu(x @ w - 2), [NAN, 0, NAN]),
        (lambda w, x: (x @ w + 1) * (x @ w), [NAN, 0, NAN]),
        # The third unit of the next layer reads the known one alone: 2 * 3.
        (
            lambda w, x: (x @ w + 2) @ jnp.array([[1.0, 0, 0], [1, 1, 3], [0, 1, 0]]),
            [NAN, NAN, 6],
        ),
        (lambda w, x: jnp.concatenate([x @ w, x], -1), [NAN, 0, NAN, NAN, NAN]),
        (lambda w, x: jnp.pad((x @ w)[:, 1:], ((0, 0), (0, 1))), [0, NAN, 0]),
        (lambda w, x: jnp.split(x @ w, [2], axis=-1)[0], [NAN, 0]),
        (lambda w, x: jnp.where(x[:, :1] > 0, x @ w, 0.0), [NAN, 0, NAN]),
        (lambda w, x: (x @ w)[:, 1:2].sum(-1, keepdims=True) + 4, [4]),
        (lambda w, x: jnp.sort(x @ w), [NAN]),
    ],
)
def test_what_a_unit_answers_that_reads_nothing_is_followed(
    run: Callable[..., Any], expected: list[float]
) -> None:
    np.testing.assert_array_equal(known(run, [DENSE], (2,)), expected)


def test_a_convolution_of_a_constant_is_none_at_the_border() -> None:
    def run(padding: str) -> Callable[..., Any]:
        def convolved(window: Any, x: Any) -> Any:
            dims = ("NHWC", "HWIO", "NHWC")
            y = lax.conv_general_dilated(x, window, (1, 1), padding, dimension_numbers=dims) + 1
            reads_second = np.zeros((3, 3, 2, 1), np.float32)
            reads_second[:, :, 1] = 2
            return lax.conv_general_dilated(
                y, reads_second, (1, 1), padding, dimension_numbers=dims
            )

        return convolved

    # Nine pixels of 1, times 2.
    assert known(run("VALID"), [WINDOW], (6, 6, 1)) == [18]
    assert np.isnan(known(run("SAME"), [WINDOW], (6, 6, 1))).all()


def test_of_a_loop_what_each_step_leaves_as_it_was_is_known() -> None:
    def run(w: Any, x: Any) -> Any:
        def step(state: Any, row: Any) -> tuple[Any, Any]:
            # The first unit counts the steps, the second one stays 5, the third reads the rows.
            added = jnp.concatenate([np.array([1, 0], np.float32), row.reshape(1)])
            return state + added, state * 2

        start = jnp.asarray(np.full(3, 5, np.float32))
        state, rows = lax.scan(step, start, (x @ w)[0])
        return jnp.concatenate([state, rows[0]])

    # A loop over an axis with as many rows as units.
    np.testing.assert_array_equal(known(run, [DENSE], (2,)), [NAN, 5, NAN, NAN, 10, NAN])
