"""A leaf with several values, of which a traced index chooses the trial's own."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpo.engine.oneof import OneOf, choose, number_of, options_of


def test_a_plain_value_is_its_only_option() -> None:
    assert options_of((8, 8)) == ((8, 8),)
    assert options_of(OneOf(("relu", "tanh"))) == ("relu", "tanh")


@pytest.mark.parametrize(("index", "expected"), [(0, [2.0, 4.0]), (1, [1.0, 4.0])])
def test_the_traced_index_chooses_which_function_is_applied(
    index: int, expected: list[float]
) -> None:
    def applied(index: jax.Array, x: jax.Array) -> jax.Array:
        leaf = OneOf(("double", "square"), index)
        return choose(leaf, lambda name, x: 2 * x if name == "double" else x * x, x)

    np.testing.assert_array_equal(jax.jit(applied)(index, jnp.array([1.0, 2.0])), expected)


def test_a_value_alone_is_applied_without_a_switch() -> None:
    text = jax.jit(lambda x: choose("double", lambda _, x: 2 * x, x)).lower(1.0).as_text()
    assert "case" not in text


def test_a_number_of_the_leaf_is_a_constant_unless_the_leaf_is_merged() -> None:
    assert number_of((8, 4, 2), len) == 3
    widths = ((8,), (8, 4, 2), (4, 4))
    found = [jax.jit(lambda i: number_of(OneOf(widths, i), len))(i) for i in range(3)]
    assert [int(n) for n in found] == [1, 3, 2]
    assert found[0].dtype == jnp.int32
