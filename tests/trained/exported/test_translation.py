"""What a translation keeps of shapes; tests of operators are beside it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from hpo.trained.exported.operators import OPERATORS
from hpo.trained.exported.translation import is_batch, translated


def test_the_batch_and_its_multiples_stay_open() -> None:
    assert [size for size in (1, 8, 0, 10_007, 3 * 10_007, 10_008) if is_batch(size)] == [
        10_007,
        30_021,
    ]
    model = translated(lambda x: x.reshape(-1).reshape(-1, 2, 4), (2, 4), np.float32, OPERATORS)
    (rows, columns) = model.graph.input[0].type.tensor_type.shape.dim[:2]
    assert (rows.dim_param, columns.dim_value) == ("batch", 2)


def test_numbers_are_repeated_only_where_an_operator_does_not_do_it() -> None:
    bias = np.arange(3, dtype=np.float32)
    model = translated(lambda x: jnp.tanh(x + bias) * 2, (3,), np.float32, OPERATORS)
    assert "Expand" not in {node.op_type for node in model.graph.node}
    joined = translated(
        lambda x: jnp.concatenate([x, jnp.broadcast_to(bias, x.shape)], 1),
        (3,),
        np.float32,
        OPERATORS,
    )
    assert "Expand" in {node.op_type for node in joined.graph.node}


def test_random_numbers_that_nothing_reads_have_no_node() -> None:
    def doubled(x: jax.Array) -> jax.Array:
        jax.random.normal(jax.random.key(0), (3,))
        return x * 2

    model = translated(doubled, (3,), np.float32, OPERATORS)
    assert [node.op_type for node in model.graph.node if node.op_type == "Mul"] == ["Mul"]
