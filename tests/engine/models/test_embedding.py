"""The layer that turns examples into sequences of vectors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hpo.engine.models.abstract import Shapes
from hpo.engine.models.embedding import EMBEDDING_LEAVES, Embedding, Loaded, from_loaded
from hpo.errors import HpoError

IDS = np.array([[2, 700, 3, 0, 0], [5, 0, 0, 0, 0], [0, 0, 0, 0, 0]], np.int32)


def _layer(
    example: tuple[int, ...] = (5,),
    width: int | None = None,
    dtype: Any = jnp.float32,
    spec: Any = None,
    **shapes: Any,
) -> Embedding:
    sizes = Shapes(example, 2, "cpu", dtype, **shapes)
    layer = nnx.eval_shape(lambda: Embedding(spec or _spec(), sizes, nnx.Rngs(0), width))
    graph, state = nnx.split(layer)
    rng = np.random.default_rng(2)
    drawn = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), state)
    return nnx.merge(graph, drawn)


def _spec(embedding: int | None = 4, freeze_embedding: bool = False) -> Any:
    return SimpleNamespace(
        name="rnn", embedding=embedding, freeze_embedding=freeze_embedding, width=6
    )


def _table(layer: Embedding) -> Any:
    assert layer.tokens is not None
    return layer.tokens.embedding[...]


def test_ids_become_the_rows_of_the_table_and_padding_is_told() -> None:
    layer = _layer(example_type="int32", vocabulary=800)
    vectors, is_real = layer(IDS)
    np.testing.assert_array_equal(vectors, np.asarray(_table(layer))[IDS])
    np.testing.assert_array_equal(is_real, [[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]])


def test_in_running_text_every_place_is_a_token() -> None:
    layer = _layer(example_type="int32", vocabulary=800, positions=(5,))
    assert np.asarray(layer(IDS)[1]).all()


def test_bfloat16_keeps_ids_above_256_apart() -> None:
    layer = _layer(dtype=jnp.bfloat16, example_type="int32", vocabulary=800)
    vectors, _ = layer(np.arange(795, 800, dtype=np.int32)[None])
    assert vectors.dtype == jnp.bfloat16
    assert len(np.unique(np.asarray(vectors[0], np.float32), axis=0)) == 5


@pytest.mark.parametrize(
    ("example", "sequence"),
    [((5,), (5, 1)), ((5, 3), (5, 3)), ((4, 3, 2), (4, 6))],
    ids=["columns of a table", "a series", "rows of an image"],
)
def test_numbers_stay_as_they_are_in_order(
    example: tuple[int, ...], sequence: tuple[int, ...]
) -> None:
    x = np.random.default_rng(0).standard_normal((7, *example)).astype(np.float32)
    layer = _layer(example)
    vectors, is_real = layer(x)
    np.testing.assert_array_equal(vectors, x.reshape(7, *sequence))
    assert layer.size == sequence[1]
    assert is_real.shape == (7, sequence[0])
    assert np.asarray(is_real).all()


def test_a_width_of_its_own_takes_a_linear_layer_unless_tokens_have_it() -> None:
    tokens: dict[str, Any] = {"example_type": "int32", "vocabulary": 9}
    assert _layer(width=4, **tokens).linear is None
    wider = _layer(width=6, **tokens)
    assert wider.linear is not None
    np.testing.assert_allclose(
        wider(IDS % 9)[0], _table(wider)[IDS % 9] @ wider.linear.kernel[...], rtol=1e-5
    )
    series = _layer((5, 3), width=6)
    assert series.size == 6
    assert series(np.ones((1, 5, 3), np.float32))[0].shape == (1, 5, 6)


def test_the_table_is_as_wide_as_loaded_vectors_or_the_model_if_the_spec_leaves_it_open() -> None:
    tokens: dict[str, Any] = {"example_type": "int32", "vocabulary": 9, "spec": _spec(None)}
    assert _layer(**tokens).size == 6
    assert _layer(**tokens, embedding_size=50).size == 50


def test_only_vectors_that_stay_are_no_weights() -> None:
    tokens: dict[str, Any] = {"vocabulary": 9, "embedding_size": 4}
    learned = _layer(**tokens)
    frozen = _layer(**tokens, spec=_spec(freeze_embedding=True))
    assert [leaf.shape for leaf in jax.tree.leaves(nnx.state(learned, nnx.Param))] == [(9, 4)]
    assert not jax.tree.leaves(nnx.state(frozen, nnx.Param))
    assert [leaf.shape for leaf in jax.tree.leaves(nnx.state(frozen, Loaded))] == [(9, 4)]


def test_the_first_table_is_the_loaded_one_or_has_vectors_of_length_one() -> None:
    vectors = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)
    first = from_loaded(vectors)["embedding"](np.random.default_rng(1), (9, 4))
    np.testing.assert_array_equal(first[:7], vectors)
    assert not first[7:].any()
    drawn = EMBEDDING_LEAVES["embedding"](np.random.default_rng(1), (500, 100))
    assert np.linalg.norm(drawn, axis=1).mean() == pytest.approx(1, abs=0.01)


def test_what_cannot_be_embedded_is_refused() -> None:
    tokens: dict[str, Any] = {"vocabulary": 9}
    with pytest.raises(HpoError, match=r"model\.embedding: 4, .* have 50 numbers: write 50"):
        _layer(**tokens, embedding_size=50)
    with pytest.raises(HpoError, match=r"model\.freeze_embedding: .* names no file"):
        _layer(**tokens, spec=_spec(freeze_embedding=True))
    with pytest.raises(HpoError, match=r"'rnn' answers for each token .* \[8, 8\] pixels"):
        _layer((8, 8, 1), positions=(8, 8))
