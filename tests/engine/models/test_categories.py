"""Learned vectors of categories, in every model of tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hpo import registry
from hpo.data.dataset import DataSet, Split
from hpo.data.transforms.transform import FittedTransform
from hpo.engine.models.abstract import Shapes, abstract_model
from hpo.engine.models.categories import Categories, embedding_size
from hpo.engine.models.dropout import Dropout
from hpo.engine.program import split
from hpo.engine.training.forward import forward
from hpo.engine.training.supervised import initial_lane
from hpo.engine.training.weights import parted
from hpo.errors import HpoError
from tests.engine.models.by_hand import a_model, assert_close, assert_merged_as_alone, dense
from tests.engine.samples import a_merged, a_training

COUNTS = (3, 400)
TABLES = [name for name, entry in registry.MODELS.items() if entry.takes_categories]


def coded(counts: tuple[int, ...] = COUNTS, rows: int = 96) -> DataSet:
    """Two columns of codes before two of numbers; the first code decides the class."""
    rng = np.random.default_rng(0)

    def part(rows: int) -> Split:
        codes = np.stack([rng.integers(1, count, rows) for count in counts], axis=1)
        x = np.concatenate([codes, rng.standard_normal((rows, 2))], axis=1).astype(np.float32)
        return Split({"x": x, "y": (codes[:, 0] - 1).astype(np.int32)})

    fit = FittedTransform(more={"code_start": np.cumsum([0, *(count - 1 for count in counts)])})
    return DataSet("classification", part(rows), part(40), None, 2, "c", transform=fit)


DATA = coded()


def test_each_code_has_the_vector_of_its_row_beside_the_numbers() -> None:
    model, x = a_model(DATA, name="mlp", widths=[], embedding=3), DATA.train.x[:7]
    tables = [column["embedding"] for column in model.params["categories"]["columns"].values()]
    assert [table.shape for table in tables] == [(3, 3), (400, 3)]
    vectors = [table[x[:, place].astype(int)] for place, table in enumerate(tables)]
    seen = np.concatenate([*vectors, x[:, 2:]], axis=1).astype(np.float64)
    assert_close(model.outputs(x)[0], dense(seen, model.params["head"]))


@pytest.mark.parametrize("count", [1, 2, 7, 50, 3000, 10**6])
def test_the_size_of_vectors_is_that_of_fastai(count: int) -> None:
    by_hand = {1: 2, 2: 2, 7: 5, 50: 14, 3000: 142, 10**6: 600}
    assert embedding_size(count) == by_hand[count]


@pytest.mark.parametrize("name", TABLES)
def test_every_model_of_tables_tells_codes_above_256_apart_in_bfloat16(name: str) -> None:
    training = a_training(model={"name": name}, train={"epochs": 1, "precision": "bfloat16"})
    program, _ = split(training, DATA, "cpu")
    model = abstract_model(program)
    rng = np.random.default_rng(0)
    params, variables = jax.tree.map(
        lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32),
        (model.params, model.variables),
    )
    # In bfloat16 all of these would be 256 or 258.
    x = np.array([[1, code, 0.5, 0.5] for code in range(256, 259)], np.float32)
    outputs = jax.jit(
        lambda params, variables: forward(program, training, params, variables, {"x": x})[0]
    )(params, variables)
    assert outputs.dtype == jnp.bfloat16
    assert len({*map(tuple, np.asarray(outputs, np.float32).tolist())}) == 3


@pytest.mark.parametrize("name", TABLES)
def test_a_gradient_reaches_the_rows_of_the_batch_alone(name: str) -> None:
    training = a_training(model={"name": name})
    program, _ = split(training, DATA, "cpu")
    model = abstract_model(program)
    rng = np.random.default_rng(0)
    params, variables = jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(0.1, 0.6, leaf.shape), jnp.float32),
        (model.params, model.variables),
    )
    x = np.array([[2, 7, 0.5, -1], [2, 300, 0.1, 2], [1, 7, 1.5, 1]], np.float32)

    def loss(params: Any) -> Any:
        outputs = forward(program, training, params, variables, {"x": x}, Dropout(0, None))
        (y,) = jax.tree.leaves(outputs[0])
        return jnp.square(y).sum()

    leaves = jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(params))
    tables = [leaf for path, leaf in leaves if path[-1].key == "embedding"]
    used = [np.flatnonzero(np.abs(table).sum(1)) for table in tables]
    assert [rows.tolist() for rows in used] == [[1, 2], [7, 300]]


def test_the_first_vectors_have_length_1_on_average_and_that_of_0_is_zero() -> None:
    training = a_training(model={"name": "mlp", "embedding": 8})
    program, _ = split(training, DATA, "cpu")
    params = parted(program, initial_lane(program, training).params)
    few, many = (column["embedding"] for column in params["categories"]["columns"].values())
    assert not few[0].any()
    assert not many[0].any()
    squares = np.square(many[1:]).sum(1)
    assert squares.mean() == pytest.approx(1, abs=5 * squares.std() / np.sqrt(len(squares)))
    assert len({*map(tuple, many[1:].tolist())}) == len(many) - 1


def test_without_codes_the_layer_is_empty_and_gives_its_input() -> None:
    layer = Categories("auto", Shapes((2, 3, 1), 1, "cpu", jnp.float32), nnx.Rngs(0))
    x = jnp.arange(12.0).reshape(2, 2, 3, 1)
    assert not jax.tree.leaves(nnx.state(layer, nnx.Param))
    np.testing.assert_array_equal(layer(x), np.asarray(x).reshape(2, 6))


def test_merged_widths_answer_and_learn_from_codes_as_programs_of_their_own() -> None:
    model = {"name": "mlp", "widths": [4], "embedding": 2}
    assert_merged_as_alone(a_merged(0, {"widths": [[4], [6, 3]]}, model=model), coded((3, 5)))


def test_a_model_that_learns_no_vectors_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = replace(registry.MODELS["mlp"], takes_categories=False)
    monkeypatch.setitem(registry.MODELS, "mlp", entry)
    training = a_training(model={"name": "mlp", "widths": [5]})
    with pytest.raises(HpoError, match=r"^model\.name: 'mlp' learns no vectors of categories"):
        abstract_model(split(training, DATA, "cpu")[0])
