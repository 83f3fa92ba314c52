"""Graphs are valid models that the engine runs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from hpo.trained.exported.graph import OPSETS, Graph
from hpo.trained.exported.onnx_model import session


def test_a_graph_runs_with_any_batch_and_keeps_what_it_reads_alone() -> None:
    graph = Graph()
    x = graph.input("x", np.float32, [2])
    unread = graph.constant(np.arange(100))
    one = graph.constant(1, np.float32)
    assert graph.constant(1, np.float32) == one
    assert graph.array(unread) is not None
    assert graph.array(x) is None
    graph.output(graph.add("Add", x, one), "y", np.float32, [2])
    model = graph.model()
    assert [tensor.name for tensor in model.graph.initializer] == [one]
    assert {one.domain: one.version for one in model.opset_import} == OPSETS
    for rows in (1, 5):
        (found,) = session(model.SerializeToString()).run(None, {"x": np.ones((rows, 2), "f")})
        assert found.tolist() == [[2.0, 2.0]] * rows


def test_texts_are_kept_as_utf8() -> None:
    graph = Graph()
    texts = graph.input("texts", str, [1])
    known = graph.add("Equal", texts, graph.constant(["Zürich"], object))
    graph.output(known, "known", np.bool_, [1])
    engine = session(graph.model().SerializeToString())
    (found,) = engine.run(None, {"texts": np.array([["Zürich"], ["Bonn"]], object)})
    assert found.tolist() == [[True], [False]]


def test_one_model_becomes_a_part_of_another_twice() -> None:
    inner = Graph()
    inner.output(inner.add("Neg", inner.input("x", np.float32, [1])), "y", np.float32, [1])
    graph = Graph()
    x = graph.input("x", np.float32, [1])
    once = graph.embed(inner.model(), "first_", x)
    graph.output(graph.embed(inner.model(), "second_", once), "y", np.float32, [1])
    (found,) = session(graph.model().SerializeToString()).run(None, {"x": np.ones((3, 1), "f")})
    assert found.tolist() == [[1.0]] * 3


def test_a_graph_that_is_no_model_is_refused() -> None:
    graph = Graph()
    x = graph.input("x", np.float32, [1])
    graph.output(graph.add("NoSuchOperator", x), "y", np.float32, [1])
    with pytest.raises(onnx.checker.ValidationError):
        graph.model()
