"""Networks in float16 and int8, beside NumPy's own float16 and rounding."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from hpo.spec.sections.compression.quantisation import Weights
from hpo.trained.exported.graph import Graph
from hpo.trained.exported.network import network
from hpo.trained.exported.onnx_model import session
from hpo.trained.exported.precision import (
    NoProductError,
    as_used,
    kept_in,
    kernels_of,
    reduced,
)
from tests.trained.exported.drawn import data_of, drawn

RNG = np.random.default_rng(3)
X = RNG.normal(size=(200, 6)).astype(np.float32)
WEIGHTS = RNG.normal(size=(6, 4)).astype(np.float32)
WEIGHTS[:, 1] *= 50  # a channel that would leave the others few levels


def _product(weights: np.ndarray, *more: float) -> Any:
    graph = Graph()
    found = graph.add("MatMul", graph.input("x", np.float32, [6]), graph.constant(weights))
    for one in more:
        found = graph.add("Add", found, graph.constant(one, np.float32))
    graph.output(found, "outputs", np.float32, [4])
    return graph.model()


def _run(model: Any, x: np.ndarray = X) -> np.ndarray:
    found: np.ndarray = session(model.SerializeToString()).run(None, {"x": x})[0]
    return found


def test_float16_rounds_as_numpy_does() -> None:
    found = reduced(_product(WEIGHTS), "float16", None)
    (weights,) = found.graph.initializer
    assert weights.data_type == TensorProto.FLOAT16
    np.testing.assert_array_equal(numpy_helper.to_array(weights), WEIGHTS.astype(np.float16))
    expected = X.astype(np.float16).astype(np.float64) @ WEIGHTS.astype(np.float16)
    assert _run(found).dtype == np.float32
    # Each product and sum is rounded to 11 bits.
    assert (np.abs(_run(found) - expected) <= 2.0**-10 * (np.abs(X) @ np.abs(WEIGHTS))).all()


def test_numbers_beyond_float16_become_its_nearest() -> None:
    found = reduced(_product(WEIGHTS, 1e-12, -1e30, -np.inf, 0.0), "float16", None)
    arrays = [numpy_helper.to_array(one).item() for one in found.graph.initializer[1:]]
    assert arrays == [2.0**-24, -65504.0, -np.inf, 0.0]


def test_int8_keeps_the_levels_of_each_channel() -> None:
    found = reduced(_product(WEIGHTS), "int8", X)
    arrays = {one.name: numpy_helper.to_array(one) for one in found.graph.initializer}
    (name,) = (name for name, one in arrays.items() if one.shape == WEIGHTS.shape)
    assert arrays[name].dtype == np.int8
    scale = np.abs(WEIGHTS).max(0) / 127
    np.testing.assert_array_equal(arrays[name], np.rint(WEIGHTS / scale))
    # Half a level of the inputs, the weights and the outputs each.
    of_x, of_found = np.ptp(X) / 255 / 2, np.ptp(X @ WEIGHTS) / 255
    bound = of_x * np.abs(WEIGHTS).sum(0) + scale / 2 * np.abs(X).sum(1).max() + of_found
    assert (np.abs(_run(found) - X @ WEIGHTS) <= bound).all()


def test_what_a_user_has_told_the_log_stays() -> None:
    logging.disable(logging.ERROR)
    try:
        reduced(_product(WEIGHTS), "int8", X)
        assert logging.root.manager.disable == logging.ERROR
    finally:
        logging.disable(logging.NOTSET)


def test_an_answer_of_int8_does_not_depend_on_other_rows() -> None:
    found = reduced(_product(WEIGHTS), "int8", X)
    np.testing.assert_array_equal(_run(found)[:3], _run(found, X[:3]))


def test_a_network_without_products_has_no_int8() -> None:
    graph = Graph()
    graph.output(graph.add("Neg", graph.input("x", np.float32, [6])), "y", np.float32, [6])
    with pytest.raises(NoProductError, match=r"--precision int8: the network has no product"):
        reduced(graph.model(), "int8", X)


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("colours", {"name": "cnn", "filters": [4], "dense": 8, "norm": "batch"}),
        ("texts", {"name": "rnn", "width": 4}),  # whose loop is a graph of its own
        ("series", {"name": "transformer", "width": 8, "heads": 2, "depth": 1}),
    ],
)
def test_networks_of_every_kind_are_reduced(
    kind: str, spec: dict[str, Any], tmp_path: Path
) -> None:
    model, rows = drawn(tmp_path, data_of(tmp_path, kind), spec)
    assert rows is not None
    (member,) = model.members
    whole, x = network(model, member), model.features(member, rows)
    expected = _run(whole, x)
    halved = reduced(whole, "float16", None)
    assert len(halved.SerializeToString()) < len(whole.SerializeToString())
    np.testing.assert_allclose(_run(halved, x), expected, atol=2e-3)
    np.testing.assert_allclose(_run(reduced(whole, "int8", x), x), expected, atol=2e-2)


def test_a_program_of_jax_keeps_weights_in_the_numbers_of_numpy() -> None:
    bias = RNG.normal(size=4).astype(np.float32)
    weights = {"head": {"kernel": WEIGHTS, "bias": bias}}
    half = as_used(kept_in("float16", weights))["head"]
    np.testing.assert_array_equal(half["kernel"], WEIGHTS.astype(np.float16))
    whole = as_used(kept_in("int8", weights))["head"]
    scale = np.abs(WEIGHTS).max(0) / np.float32(127)
    np.testing.assert_array_equal(whole["kernel"], np.rint(WEIGHTS / scale) * scale)
    np.testing.assert_array_equal(whole["bias"], bias)
    assert as_used(kept_in("float32", weights))["head"]["bias"] is bias


def test_a_program_of_jax_keeps_the_levels_of_a_model_to_the_bit() -> None:
    levels = RNG.integers(-7, 8, (6, 4)).astype(np.float32)
    levels *= np.array([0.1, 0.3, 7.0, 1e-3], np.float32)
    levels[:, 2] = 0  # a unit that is cut
    params = {"head": {"kernel": levels}}
    kernels = kernels_of(Weights(name="integer", bits=4, scales="channel"), {"params": params})
    found = as_used(kept_in("int8", params, kernels))["head"]["kernel"]
    np.testing.assert_array_equal(found, levels)
