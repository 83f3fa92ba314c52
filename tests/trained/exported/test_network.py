"""The forward pass of every model in the engine that runs exported files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax import export

from hpo.errors import HpoError
from hpo.registry import MODELS
from hpo.spec.marks import with_leaves
from hpo.trained.exported.network import network, stablehlo, whole_network
from hpo.trained.exported.onnx_model import onnx_model, session
from hpo.trained.exported.precision import Precision
from tests.trained.exported.drawn import data_of, drawn, features_for

# Of each model: what it is, and the kinds of data that it is tried on.
CASES: list[tuple[dict[str, Any], str]] = [
    ({"name": "mlp", "widths": [8, 6], "norm": "batch"}, "table"),
    ({"name": "mlp", "widths": [8], "norm": "layer", "activation": "gelu"}, "codes"),
    ({"name": "cnn", "filters": [4, 8], "dense": 8, "groups": 2}, "colours"),
    ({"name": "cnn", "filters": [4], "pooling": {"name": "avg", "size": 3}, "rank": 2}, "colours"),
    ({"name": "fourier", "features": 16}, "table"),
    ({"name": "realmlp", "widths": [8]}, "codes"),
    ({"name": "tabm", "widths": [8]}, "codes"),
    ({"name": "rnn", "cell": "gru", "width": 8}, "texts"),
    ({"name": "rnn", "cell": "lstm", "width": 8, "bidirectional": True}, "series"),
    ({"name": "transformer", "width": 8, "depth": 1}, "texts"),
    ({"name": "transformer", "width": 8, "depth": 1, "rank": 2}, "series"),
    ({"name": "unet"}, "masks"),
    ({"name": "resnet"}, "colours"),
]
ROUNDED: tuple[dict[str, Any], str] = (
    {"name": "mlp", "widths": [16], "activation": "tanh"},
    "table",
)


def test_every_model_is_tried() -> None:
    assert {model["name"] for model, _ in CASES} == MODELS.keys()


@pytest.mark.long
@pytest.mark.parametrize(("spec", "kind"), CASES, ids=lambda one: str(one)[:40])
def test_the_engine_gives_the_outputs_of_every_model(
    spec: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    model, _ = drawn(tmp_path, data_of(tmp_path, kind), spec)
    (member,) = model.members
    engine = session(network(model, member).SerializeToString())
    outputs = whole_network(model, member).outputs
    for rows in (1, 7):
        x = features_for(model, rows)
        expected = np.asarray(outputs(x))
        (found,) = engine.run(None, {"x": x})
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("spec", "kind"), [ROUNDED, CASES[2]], ids=lambda one: str(one)[:40])
@pytest.mark.parametrize("least", [-0.1, 0.0])
def test_the_engine_rounds_by_trained_steps_as_the_model_does(
    least: float, spec: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    some = {"compression": {"activations": {"name": "learned", "bits": 3}}}
    model, _ = drawn(tmp_path, data_of(tmp_path, kind), spec, **some)
    (member,) = model.members
    values = {"step": 0.05, "least": least, "bits": 3}
    weights = jax.tree_util.tree_map_with_path(
        lambda path, leaf: np.full_like(leaf, values.get(path[-1].key, leaf)), member.weights
    )
    member, x = member._replace(weights=weights), features_for(model, 20)
    expected = np.asarray(whole_network(model, member).outputs(x))
    graph = network(model, member).graph
    (found,) = session(network(model, member).SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert not any(node.op_type == "Where" and len({*node.input[1:]}) < 2 for node in graph.node)
    session(onnx_model(model).SerializeToString())  # with what encodes examples before it
    alone = replace(model, members=(member,))
    session(onnx_model(alone, "int8", [x]).SerializeToString())
    other = replace(
        model, training=with_leaves(model.training, {"compression.activations.bits": 8})
    )
    assert abs(np.asarray(whole_network(other, member).outputs(x)) - expected).max() > 1e-4


@pytest.mark.long
@pytest.mark.parametrize(("spec", "kind"), [ROUNDED, CASES[2]], ids=lambda one: str(one)[:40])
def test_the_engine_rounds_and_keeps_activations_as_the_model_does(
    spec: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    some = {"compression": {"activations": {"bits": 3, "top": 0.25}}}
    model, _ = drawn(tmp_path, data_of(tmp_path, kind), spec, **some)
    (member,) = model.members
    ends = {"low": -0.1, "high": 0.3}
    weights = jax.tree_util.tree_map_with_path(
        lambda path, leaf: np.full_like(leaf, ends.get(path[-1].key, leaf)), member.weights
    )
    member, x = member._replace(weights=weights), features_for(model, 20)
    expected = np.asarray(whole_network(model, member).outputs(x))
    (found,) = session(network(model, member).SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    for leaf, value in (("bits", 8), ("top", 1.0)):
        leaves = {f"compression.activations.{leaf}": value}
        other = replace(model, training=with_leaves(model.training, leaves))
        assert abs(np.asarray(whole_network(other, member).outputs(x)) - expected).max() > 1e-4


def test_stablehlo_gives_the_chances_for_any_batch(tmp_path: Path) -> None:
    spec = {"name": "rnn", "cell": "gru", "width": 8}
    model, _ = drawn(tmp_path, data_of(tmp_path, "texts"), spec)
    answering = export.deserialize(bytearray(stablehlo(model))).call
    for rows in (1, 7):
        x = features_for(model, rows)
        found = np.asarray(answering(x))
        outputs = np.asarray(whole_network(model, model.members[0]).outputs(x), np.float64)
        odds = np.exp(outputs - outputs.max(-1, keepdims=True))
        np.testing.assert_allclose(found, odds / odds.sum(-1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize(("precision", "apart"), [("float16", 2e-3), ("int8", 2e-2)])
def test_stablehlo_keeps_its_weights_in_few_bits(
    tmp_path: Path, precision: Precision, apart: float
) -> None:
    spec = {"name": "mlp", "widths": [128, 64]}
    model, rows = drawn(tmp_path, data_of(tmp_path, "table"), spec)
    assert rows is not None
    whole, small = stablehlo(model), stablehlo(model, precision)
    kernels = sum(one.size for one in jax.tree.leaves(model.members[0].weights) if one.ndim > 1)
    saved = {"float16": 2, "int8": 3}[precision] * kernels
    assert len(whole) - len(small) == pytest.approx(saved, rel=0.1)
    x = model.features(model.members[0], rows)
    found, expected = (
        np.asarray(export.deserialize(bytearray(data)).call(x)) for data in (small, whole)
    )
    assert 0 < np.abs(found - expected).max() < apart


def test_stablehlo_gives_the_mean_of_seeds_that_share_their_inputs(tmp_path: Path) -> None:
    spec = {"name": "mlp", "widths": [4]}
    model, rows = drawn(tmp_path, data_of(tmp_path, "table"), spec)
    (one,) = model.members
    two = one._replace(weights=jax.tree.map(lambda leaf: 2 * leaf, one.weights))
    both = replace(model, members=(one, two), temperature=2.0)
    assert rows is not None
    roots = np.sqrt(both.predictions(rows))
    found = export.deserialize(bytearray(stablehlo(both))).call(model.features(one, rows))
    np.testing.assert_allclose(found, roots / roots.sum(1, keepdims=True), atol=1e-6)
    own = two._replace(data=replace(two.data, fingerprint="another fold"))
    with pytest.raises(HpoError, match="2 members, which encode their inputs each in its own way"):
        stablehlo(replace(both, members=(one, own)))


def test_a_model_without_a_translation_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import jax\nfrom flax import nnx\n\n"
        "class Sorted(nnx.Module):\n"
        "    def __init__(self, inputs, outputs, *, rngs):\n"
        "        self.head = nnx.Linear(inputs, outputs, rngs=rngs)\n\n"
        "    def __call__(self, x, *, train=False, rngs=None):\n"
        "        return self.head(jax.lax.cummax(x, axis=1))\n"
    )
    spec = {"python": "mine.py:Sorted"}
    model, _ = drawn(tmp_path, data_of(tmp_path, "table"), spec)
    with pytest.raises(
        HpoError, match=r"--format onnx: the code of your own cannot be exported \(J"
    ):
        network(model, model.members[0])
