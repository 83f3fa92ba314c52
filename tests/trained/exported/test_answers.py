"""The answers of each task, compared with those of `hpo predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.engine.training.metrics.temperature import tempered
from hpo.engine.training.targets.sums import targets_of
from hpo.trained.exported.answers import add_answers, add_temperature, answers_of
from hpo.trained.exported.graph import Graph
from hpo.trained.exported.onnx_model import session
from tests.trained.exported.drawn import drawn, write

RNG = np.random.default_rng(5)
TARGETS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "classification": (["u", "v", "w"], {}),
    "regression": ([f"{x:.3f}" for x in RNG.normal(900, 30, 30)], {}),
    "bounded": ([f"{x:.3f}" for x in RNG.uniform(0, 9, 30)], {"target_range": [0, 9]}),
    "counts": ([str(x) for x in RNG.poisson(30, 30)], {}),
    "multilabel": (["0", "1", "1"], {}),
}


@pytest.mark.parametrize("kind", TARGETS)
def test_answers_are_those_of_the_model(kind: str, tmp_path: Path) -> None:
    values, section = TARGETS[kind]
    rows = [[row, values[row % len(values)], values[(row // 2) % len(values)]] for row in range(60)]
    write(tmp_path / "table.csv", ["a", "y", "z"], rows)
    dataset: dict[str, Any] = {"csv": "table.csv", "target": "y", "drop": ["z"]}
    if kind == "multilabel":
        dataset = {"csv": "table.csv", "target": ["y", "z"], "task": kind}
    elif kind == "counts":
        dataset["task"] = kind
    model, _ = drawn(tmp_path, {"dataset": dataset, "batch_size": 8, **section}, {"name": "mlp"})
    data, count = model.data, model.description.outputs
    outputs = RNG.normal(size=(7, count)).astype(np.float32)
    expected = targets_of(data.task, count).predictions(outputs.astype(np.float64), data)
    graph = Graph()
    found = add_answers(graph, graph.input("x", np.float32, [count]), data)
    graph.output(found, "answers", np.float64, [count])
    (answers,) = session(graph.model().SerializeToString()).run(None, {"x": outputs})
    np.testing.assert_allclose(answers, expected, rtol=1e-7)
    np.testing.assert_allclose(answers_of(outputs, data, 1.0), expected, rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_chances_have_the_temperature_of_the_model(temperature: float) -> None:
    chances = np.array([[0.25, 0.75, 0.0], [0.1, 0.2, 0.7]])
    graph = Graph()
    found = add_temperature(graph, graph.input("x", np.float64, [3]), temperature)
    graph.output(graph.add("Identity", found), "answers", np.float64, [3])
    (answers,) = session(graph.model().SerializeToString()).run(None, {"x": chances})
    np.testing.assert_allclose(answers, tempered(chances, temperature), rtol=1e-12, atol=1e-300)
