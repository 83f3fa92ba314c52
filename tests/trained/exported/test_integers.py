"""Networks in int8 beside the model that emulates them, and beside whole numbers of NumPy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnxruntime
import pytest
from onnx import numpy_helper

from hpo.engine.training.compression.quantisation import quantised
from hpo.errors import ExportError
from hpo.trained.exported.graph import Graph
from hpo.trained.exported.integers import integer_network, levels_kept
from hpo.trained.exported.network import network, whole_network
from hpo.trained.exported.onnx_model import session
from hpo.trained.exported.precision import in_whole_numbers, kernels_of
from hpo.trained.exported.standalone import predict
from hpo.trained.model import Member, Model
from tests.trained.exported.drawn import data_of, drawn

MLP, CNN = {"name": "mlp", "widths": [16, 8]}, {"name": "cnn", "filters": [4, 6], "dense": 8}
RNG = np.random.default_rng(5)


def in_bits(
    folder: Path,
    kind: str,
    spec: dict[str, Any],
    weights: dict[str, Any],
    bits: int | None,
    name: str = "integer",
) -> tuple[Model, Member, np.ndarray]:
    """A model with drawn weights of these levels, and 200 rows for it."""
    activations = {} if bits is None else {"activations": {"name": name, "bits": bits}}
    some = {"weights": weights} | activations
    model, _ = drawn(folder, data_of(folder, kind), spec, compression=some)
    ends = {"low": -0.5, "high": 1.1, "least": -0.5, "step": 0.07, "bits": bits}
    own = jax.tree_util.tree_map_with_path(
        lambda path, leaf: np.full_like(leaf, ends.get(path[-1].key, leaf)),
        model.members[0].weights,
    )
    params = jax.device_get(quantised(model.training.compression, own["params"]))
    member = model.members[0]._replace(weights={**own, "params": params})
    levels = model.training.compression.weights
    model = replace(model, members=(member,), levels=levels)
    shape = (200, *model.description.shape)
    if model.description.type == "int32":
        return model, member, RNG.integers(0, model.program.vocabulary, shape).astype(np.int32)
    x = RNG.normal(size=shape).astype(np.float32)
    x[:, : len(model.program.categories)] = 1
    return model, member, x


def run(network: Any, x: np.ndarray) -> np.ndarray:
    found: np.ndarray = session(network.SerializeToString()).run(None, {"x": x})[0]
    return found


def operators(network: Any) -> list[str]:
    return [node.op_type for node in network.graph.node]


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("scales", ["tensor", "channel"])
@pytest.mark.parametrize(("kind", "spec"), [("table", MLP), ("colours", CNN)])
def test_whole_numbers_give_the_answers_that_the_model_emulates(
    kind: str, spec: dict[str, Any], scales: str, bits: int, tmp_path: Path
) -> None:
    weights = {"name": "integer", "bits": bits, "scales": scales}
    model, member, x = in_bits(tmp_path, kind, spec, weights, bits)
    found = integer_network(model, member)
    expected = np.asarray(jax.jit(whole_network(model, member).outputs)(x))
    np.testing.assert_allclose(run(found, x), expected, rtol=1e-5, atol=1e-5)
    names = operators(found)
    assert names.count("MatMulInteger") == (3 if kind == "table" else 2)
    assert names.count("ConvInteger") == (0 if kind == "table" else 2)
    assert not {"MatMul", "Conv"} & {*names}
    arrays = [numpy_helper.to_array(one) for one in found.graph.initializer]
    assert max(one.size for one in arrays if one.dtype == np.float32) <= 16  # biases and scales
    assert levels_kept(model) == "weights and activations"


@pytest.mark.parametrize("bits", [2, 5, 8])
@pytest.mark.parametrize(("kind", "spec"), [("table", MLP), ("colours", CNN)])
def test_trained_steps_are_multiplied_as_whole_numbers(
    kind: str, spec: dict[str, Any], bits: int, tmp_path: Path
) -> None:
    model, member, x = in_bits(tmp_path, kind, spec, {"name": "integer"}, bits, "learned")
    found = integer_network(model, member)
    expected = np.asarray(jax.jit(whole_network(model, member).outputs)(x))
    np.testing.assert_allclose(run(found, x), expected, rtol=1e-5, atol=1e-5)
    names = operators(found)
    assert names.count("MatMulInteger") == (3 if kind == "table" else 2)
    assert not {"MatMul", "Conv"} & {*names}


@pytest.mark.parametrize("name", ["integer", "learned"])
def test_layers_that_are_computed_again_in_training_are_products_of_whole_numbers(
    name: str, tmp_path: Path
) -> None:
    spec = {"name": "transformer", "width": 8, "depth": 1, "heads": 2, "remat": True}
    model, member, x = in_bits(tmp_path, "series", spec, {"name": "integer"}, 4, name)
    found = integer_network(model, member)
    np.testing.assert_allclose(run(found, x), model.outputs(member, x), rtol=1e-4, atol=1e-5)
    # Of the rows, of attention two, of the feed two, and the head.
    assert operators(found).count("MatMulInteger") == 6


def test_a_dense_layer_is_a_product_of_whole_numbers(tmp_path: Path) -> None:
    weights = {"name": "integer", "bits": 5}
    model, member, x = in_bits(tmp_path, "table", {"name": "mlp", "widths": []}, weights, 3)
    head = member.weights["params"]["head"]
    # 8 levels from -0.5 to 1.1, with 0 at the second.
    unit = np.float64(np.float32(1.1) - np.float32(-0.5)) / 7
    codes = np.clip(np.rint(x / unit) + 2, 0, 7) - 2
    kernel = np.asarray(head["kernel"], np.float64)
    scale = np.abs(kernel).max() / 15
    numbers = np.rint(kernel / scale)
    np.testing.assert_allclose(numbers * scale, kernel, rtol=1e-7)
    expected = (codes @ numbers) * unit * scale + head["bias"]
    np.testing.assert_allclose(run(integer_network(model, member), x), expected, atol=1e-6)


LEARNED = {"name": "learned", "bits": 5, "scales": "channel"}


@pytest.mark.parametrize("bits", [None, 6])
@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("texts", {"name": "transformer", "width": 8, "depth": 1}),
        ("colours", {"name": "cnn", "filters": [4], "dense": 8, "groups": 1, "norm": "batch"}),
        ("codes", {"name": "mlp", "widths": [8], "rank": 2}),
    ],
)
def test_levels_of_every_kind_are_kept(
    kind: str, spec: dict[str, Any], bits: int | None, tmp_path: Path
) -> None:
    model, member, x = in_bits(tmp_path, kind, spec, LEARNED, bits)
    found = integer_network(model, member)
    expected = np.asarray(jax.jit(whole_network(model, member).outputs)(x))
    np.testing.assert_allclose(run(found, x), expected, rtol=1e-5, atol=1e-5)
    assert ("MatMulInteger" in operators(found)) == (bits is not None)


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("texts", {"name": "rnn", "cell": "gru", "width": 8}),
        ("codes", {"name": "tabm", "widths": [8]}),
        ("codes", {"name": "realmlp", "widths": [8]}),
        ("colours", {"name": "cnn", "filters": [4, 6], "dense": 8, "groups": 2}),
    ],
)
def test_weights_alone_are_stored_in_int8_and_answers_stay(
    kind: str, spec: dict[str, Any], tmp_path: Path
) -> None:
    model, member, x = in_bits(tmp_path, kind, spec, {"name": "ternary"}, None)
    found, plain = integer_network(model, member), network(model, member)
    np.testing.assert_array_equal(run(found, x), run(plain, x))
    arrays = [numpy_helper.to_array(one) for one in found.graph.initializer]
    stored = sum(one.size for one in arrays if one.dtype == np.int8)
    kernels = kernels_of(model.levels, member.weights) or {}
    assert 0 < stored <= sum(kernel.numbers.size for kernel in kernels.values())
    assert len(found.SerializeToString()) < len(plain.SerializeToString()) + 400  # of the nodes
    assert all({*one.ravel()} <= {-1, 0, 1} for one in arrays if one.dtype == np.int8)
    assert levels_kept(model) == "weights"


def test_whole_numbers_are_found_without_the_largest_one() -> None:
    scale = np.array([0.5, 0.375, 3.0], np.float32)
    numbers = RNG.integers(-5, 6, (20, 3))
    numbers[0] = 5
    numbers[:, 2] = 0
    found = in_whole_numbers((numbers * scale).astype(np.float32), 4, by_channel=True)
    assert found is not None
    np.testing.assert_array_equal(found.numbers * found.scale, numbers * scale)
    assert found.numbers.dtype == np.int8
    assert np.abs(found.numbers).max() <= 7
    drawn_ones = RNG.normal(size=(20, 3)).astype(np.float32)
    assert in_whole_numbers(drawn_ones, 8, by_channel=True) is None
    assert in_whole_numbers(drawn_ones * np.nan, 8, by_channel=False) is None


@pytest.mark.parametrize("weights", [{"name": "none"}, {"name": "bases"}])
def test_other_weights_have_no_whole_numbers(weights: dict[str, Any], tmp_path: Path) -> None:
    model, member, _ = in_bits(tmp_path, "table", MLP, weights, 8)
    assert levels_kept(model) is None
    assert integer_network(model, member) is None
    # Nor have those of a training that diverged.
    levels = {"name": "integer", "bits": 8}
    model, member, _ = in_bits(tmp_path, "table", MLP, levels, None)
    lost = jax.tree.map(lambda leaf: np.asarray(leaf) * np.nan, member.weights)
    assert kernels_of(model.levels, lost) is None


def test_a_range_without_0_is_refused_in_a_sentence(tmp_path: Path) -> None:
    model, member, _ = in_bits(tmp_path, "table", MLP, {"name": "integer"}, 8)
    weights = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf + 3 if path[-1].key in ("low", "high") else leaf, member.weights
    )
    with pytest.raises(ExportError, match="a layer reads numbers in a range without 0"):
        integer_network(model, member._replace(weights=weights))


@pytest.mark.parametrize("has_vnni", [True, False])
def test_the_largest_sums_of_int8_are_exact(
    has_vnni: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text("flags : avx2 avx512_vnni\n" if has_vnni else "flags: avx2\n")
    monkeypatch.setattr(predict, "Path", lambda _: tmp_path / "cpuinfo")
    options = predict.engine_options()
    key = "session.x64quantprecision"
    if has_vnni:
        with pytest.raises(RuntimeError, match="does not have"):
            options.get_session_config_entry(key)
        return
    assert options.get_session_config_entry(key) == "1"
    weights = RNG.choice([-127, 127], (64, 3)).astype(np.int8)
    graph = Graph()
    x, zero = graph.input("x", np.uint8, [64]), graph.own_constant(0, np.uint8)
    found = graph.add(
        "MatMulInteger", x, graph.own_constant(weights), zero, graph.own_constant(0, np.int8)
    )
    graph.output(found, "sums", np.int32, [3])
    data = graph.model().SerializeToString()
    engine = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    rows = RNG.integers(200, 256, (40, 64)).astype(np.uint8)
    expected = rows.astype(np.int64) @ weights
    np.testing.assert_array_equal(engine.run(None, {"x": rows})[0], expected)
