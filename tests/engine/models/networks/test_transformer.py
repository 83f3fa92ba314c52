"""The transformer by hand: an encoder without its padding, a decoder without its future."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from hpo.data.dataset import DataSet, Split
from hpo.data.transforms.transform import FittedTransform
from hpo.engine.models.abstract import Shapes, build
from hpo.engine.models.dropout import MaskKey, random_words
from hpo.engine.models.networks.transformer import transformer_size
from hpo.engine.models.sizes import Size
from hpo.errors import HpoError
from hpo.spec.sections.models.sequences import Transformer
from tests.engine.models.by_hand import BY_HAND, Model, assert_close, dense, normalised
from tests.engine.samples import Learn, a_training

TOKENS, PLACES, CLASSES = 9, 6, 3
SMALL = {"width": 8, "heads": 2, "depth": 2, "feed": 12}
TEXTS = Shapes((PLACES,), CLASSES, "cpu", jnp.float32, (), "int32", TOKENS)
RUNNING = Shapes((PLACES,), TOKENS, "cpu", jnp.float32, (PLACES,), "int32", TOKENS)
SERIES = Shapes((PLACES, 4), CLASSES, "cpu", jnp.float32)


def _spec(**leaves: Any) -> Transformer:
    return Transformer.model_validate({"name": "transformer", **SMALL, **leaves})


def _model(shapes: Shapes, **leaves: Any) -> Model:
    """A transformer with random weights in every leaf."""
    spec, rng = _spec(**leaves), np.random.default_rng(0)
    graph, params, variables, _ = build(spec, shapes)
    drawn = jax.tree.map(lambda leaf: rng.normal(0, 0.4, leaf.shape).astype(np.float32), params)
    return Model(spec, graph, drawn, variables)


def _texts(*lengths: int, places: int = PLACES) -> np.ndarray:
    """Texts of these lengths, and 0 after them."""
    ids = np.random.default_rng(1).integers(1, TOKENS, (len(lengths), 50))[:, :places]
    return np.where(np.arange(places) < np.array(lengths)[:, None], ids, 0).astype(np.int32)


def _norm(h: np.ndarray, layer: Any) -> np.ndarray:
    return normalised(h, layer, h.mean(-1, keepdims=True), h.var(-1, keepdims=True), 1e-6)


def _block(h: np.ndarray, block: Any, spec: Transformer, seen: np.ndarray) -> np.ndarray:
    """A block for one text `[T, N]`, in which `seen[t, s]` says whether t sees s."""

    def attend(h: np.ndarray) -> np.ndarray:
        size = spec.width // spec.heads
        joint = dense(h, block["attend"]["joint"]).reshape(len(h), 3, spec.heads, size)
        q, k, v = joint.transpose(1, 2, 0, 3)
        fits = np.where(seen, q @ k.transpose(0, 2, 1) / math.sqrt(size), -np.inf)
        read = (softmax(fits, axis=-1) @ v).transpose(1, 0, 2)
        return dense(read.reshape(len(h), -1), block["attend"]["out"])

    def feed(h: np.ndarray) -> np.ndarray:
        return dense(BY_HAND[spec.activation](dense(h, block["wide"])), block["narrow"])

    for norm, part in zip(block["norms"].values(), (attend, feed), strict=True):
        h = h + part(_norm(h, norm)) if spec.norm_first else _norm(h + part(h), norm)
    return h


def _waves(places: int, width: int) -> np.ndarray:
    pairs = [[p / 10_000 ** (2 * i / width) for i in range(width // 2)] for p in range(places)]
    return np.stack([np.sin(pairs), np.cos(pairs)], -1).reshape(places, width)


def _by_hand(model: Model, x: np.ndarray, is_causal: bool = False) -> np.ndarray:
    """The outputs for each text alone, cut to its own length where it is not causal."""
    spec, params, found = model.spec, model.params, []
    for row in x:
        ids = row if is_causal else row[row > 0]
        places = len(ids)
        h = params["embedding"]["tokens"]["embedding"][ids].astype(np.float64)
        if spec.positions == "learned":
            h = h + params["positions"][:places]
        h = h * math.sqrt(spec.width)
        if spec.positions == "sinusoid":
            h = h + _waves(places, spec.width)
        seen = np.tril(np.ones((places, places), bool)) if is_causal else np.True_
        for number in range(spec.depth):
            h = _block(h, params["blocks"][0 if spec.share_layers else number], spec, seen)
        h = _norm(h, params["norm"]) if spec.norm_first else h
        if not is_causal:
            h = {"mean": h.mean(0), "max": h.max(0), "first": h[0]}[spec.pool]
        if spec.tie_embeddings:
            found.append(h @ params["embedding"]["tokens"]["embedding"].T + params["bias"])
        else:
            found.append(dense(h, params["head"]))
    return np.array(found)


@pytest.mark.parametrize(
    "leaves",
    [
        {},
        {"norm_first": False, "positions": "sinusoid", "activation": "relu", "pool": "max"},
        {"pool": "first", "share_layers": True},
    ],
    ids=str,
)
def test_an_encoder_is_the_papers_for_each_text_at_its_own_length(leaves: Any) -> None:
    model, x = _model(TEXTS, **leaves), _texts(6, 4, 1, 3)
    assert_close(model.outputs(x)[0], _by_hand(model, x))


def test_a_decoder_is_the_papers_over_earlier_tokens() -> None:
    model, x = _model(RUNNING), _texts(6, 6) - 1
    assert_close(model.outputs(x)[0], _by_hand(model, x, is_causal=True))


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_more_padding_and_other_texts_change_no_answer(positions: str) -> None:
    longer = TEXTS._replace(example=(PLACES + 5,))
    model, wide = _model(TEXTS, positions=positions), _model(longer, positions=positions)
    params = dict(model.params)
    if positions == "learned":
        params["positions"] = np.concatenate([params["positions"], np.full((5, 8), 1e3)])
    wide, x = wide._replace(params=params), _texts(6, 4, 1, 0)
    found = model.outputs(x)[0]
    more = wide.outputs(np.pad(x, [(0, 0), (0, 5)]))[0]
    np.testing.assert_allclose(more, found, rtol=1e-5, atol=1e-5)
    assert_close(found[3], model.params["head"]["bias"])  # a text without tokens


@pytest.mark.parametrize("positions", ["learned", "sinusoid", "rotary"])
def test_no_place_of_a_running_text_sees_a_later_token(positions: str) -> None:
    text = _texts(6) - 1
    # In row `place` all tokens from this place on are others.
    is_other = np.arange(PLACES) >= np.arange(1, PLACES + 1)[:, None]
    x = np.where(is_other, (text + 1) % TOKENS, text).astype(np.int32)
    found = np.asarray(_model(RUNNING, positions=positions).outputs(x)[0])
    is_like_the_text = (found == found[-1]).all(-1)
    np.testing.assert_array_equal(is_like_the_text, ~is_other)


@pytest.mark.parametrize("positions", ["learned", "sinusoid", "rotary"])
def test_the_order_of_tokens_counts(positions: str) -> None:
    text = _texts(6)
    found = _model(TEXTS, positions=positions).outputs(np.concatenate([text, text[:, ::-1]]))[0]
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_a_series_is_read_by_a_linear_layer_and_all_its_times() -> None:
    model = _model(SERIES, pool="all")
    x = np.random.default_rng(2).standard_normal((2, PLACES, 4)).astype(np.float32)
    h = dense(x, model.params["embedding"]["linear"]) + model.params["positions"]
    for number in range(2):
        h = np.stack(
            [_block(one, model.params["blocks"][number], model.spec, np.True_) for one in h]
        )
    by_hand = dense(_norm(h, model.params["norm"]).reshape(2, -1), model.params["head"])
    assert_close(model.outputs(x)[0], by_hand)


def _gradients(model: Model, x: np.ndarray) -> Any:
    def loss(params: Any) -> Any:
        return jnp.sin(model._replace(params=params).outputs(x)[0]).sum()

    return jax.tree.map(np.asarray, jax.jit(jax.grad(loss))(model.params))


def _count(params: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def test_a_tied_embedding_is_one_array_whose_gradient_is_the_sum_of_both_uses() -> None:
    leaves, x = {"depth": 1, "norm_first": False}, _texts(6) - 1
    tied, apart = _model(RUNNING, tie_embeddings=True, **leaves), _model(RUNNING, **leaves)
    assert _count(apart.params) - _count(tied.params) == SMALL["width"] * TOKENS
    params = {name: part for name, part in tied.params.items() if name != "bias"}
    table = params["embedding"]["tokens"]["embedding"]
    params["head"] = {"kernel": table.T, "bias": tied.params["bias"]}
    apart = apart._replace(params=params)
    one, two = _gradients(tied, x), _gradients(apart, x)
    both = two["embedding"]["tokens"]["embedding"] + two["head"]["kernel"].T
    np.testing.assert_allclose(one["embedding"]["tokens"]["embedding"], both, rtol=1e-4, atol=1e-4)


def test_shared_layers_are_one_block_whose_gradient_is_the_sum_of_all_uses() -> None:
    shared, apart, x = _model(TEXTS, share_layers=True), _model(TEXTS), _texts(4)
    block = shared.params["blocks"][0]
    assert _count(apart.params) - _count(shared.params) == _count(block)
    apart = apart._replace(params={**shared.params, "blocks": {0: block, 1: block}})
    one, two = _gradients(shared, x)["blocks"][0], _gradients(apart, x)["blocks"]
    jax.tree.map(
        lambda a, b, c: np.testing.assert_allclose(a, b + c, rtol=1e-3, atol=1e-4),
        one,
        two[0],
        two[1],
    )


def test_masks_depend_on_the_row_the_place_and_the_layer_alone() -> None:
    model, x, key = _model(TEXTS), _texts(6, 4), MaskKey(jnp.uint32(5), jnp.uint32(6))
    seen: list[tuple[int, tuple[int, ...]]] = []

    def spy(h: Any, layer: int) -> Any:
        seen.append((layer, h.shape))
        return h

    model.outputs(x, True, spy)
    width = PLACES * SMALL["width"]
    assert seen == [(layer, (2, width)) for layer in range(5)]
    words = np.stack([random_words(key, layer, shape) for layer, shape in seen])
    assert len(np.unique(words)) == words.size  # no two numbers share a word
    longer = random_words(key, 0, (2, width + SMALL["width"]))
    np.testing.assert_array_equal(longer[:, :width], words[0])


def _products(shapes: Shapes, **leaves: Any) -> int:
    """The multiplications of the matrix products for one example, from the traced model."""
    model = _model(shapes, **leaves)
    x = np.zeros((1, *shapes.example), shapes.x)
    equations = jax.make_jaxpr(model.outputs)(x).jaxpr.eqns[0].params["jaxpr"].eqns
    found = 0
    for equation in equations:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            found += equation.outvars[0].aval.size * math.prod(left[axis] for axis in contracted)
    return found


@pytest.mark.parametrize(
    ("shapes", "leaves"),
    [
        (TEXTS, {}),
        (TEXTS, {"share_layers": True, "positions": "sinusoid"}),
        (TEXTS, {"heads": 3, "positions": "rotary"}),
        (TEXTS, {"embedding": 5}),
        (TEXTS._replace(embedding_size=5), {}),
        (RUNNING, {}),
        (RUNNING, {"tie_embeddings": True}),
        (SERIES, {"pool": "all"}),
    ],
    ids=str,
)
def test_its_size_counts_all_matrices_and_their_products(shapes: Shapes, leaves: Any) -> None:
    model = _model(shapes, **leaves)
    matrices = [leaf.size for leaf in jax.tree.leaves(model.params) if leaf.ndim > 1]
    vectors = shapes.vocabulary, shapes.embedding_size
    size = transformer_size(model.spec, shapes.example, shapes.outputs, *vectors)
    assert size == Size(sum(matrices), _products(shapes, **leaves))


def test_a_decoder_whose_weights_are_all_shared_learns_a_text_that_repeats(learn: Learn) -> None:
    # What follows a 2 depends on the token before it.
    text = np.tile([0, 2, 1, 3, 2, 4], 200)
    rows = {"x": text[:-6].reshape(-1, 6), "y": text[1:-5].reshape(-1, 6)}
    parts = [
        Split({name: one[cut].astype(np.int32) for name, one in rows.items()})
        for cut in (slice(160), slice(160, None))
    ]
    fit = FittedTransform(more={"token_bytes": np.ones(5)})
    data = DataSet("language", *parts, None, 5, "r", transform=fit)
    model = {"name": "transformer", **SMALL, "tie_embeddings": True, "share_layers": True}
    curves = learn(
        data,
        [a_training(stream, model={**model, "dropout": 0.01 + 0.4 * stream}) for stream in (0, 1)],
        lanes=2,
    )
    assert curves[0][-1]["bits_per_byte"] < 0.2
    assert curves[0][-1]["bits_per_byte"] < curves[1][-1]["bits_per_byte"] < 1.5


@pytest.mark.parametrize(
    ("shapes", "leaves", "message"),
    [
        (TEXTS, {"tie_embeddings": True}, "finds the next token of a text"),
        (RUNNING, {"tie_embeddings": True, "embedding": 5}, "leave model.embedding out"),
        (SERIES._replace(positions=(6, 4)), {}, "use unet"),
    ],
)
def test_what_does_not_fit_is_refused(shapes: Shapes, leaves: Any, message: str) -> None:
    with pytest.raises(HpoError, match=message):
        build(_spec(**leaves), shapes)
