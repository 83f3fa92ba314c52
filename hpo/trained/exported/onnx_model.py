"""A whole trained model as one ONNX model: from the cells of rows to their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hpo.data.source import Source
from hpo.errors import HpoError
from hpo.trained.exported.answers import add_answers, add_temperature
from hpo.trained.exported.features import add_features, add_inputs
from hpo.trained.exported.graph import Graph
from hpo.trained.exported.network import network
from hpo.trained.exported.precision import Precision, reduced
from hpo.trained.model import Model

ANSWERS = "answers"


def onnx_model(model: Model, precision: Precision = "float32", rows: Source | None = None) -> Any:
    """The answers for the cells of rows, float64 `[batch, ..., K]`: the mean of the members'.

    The networks are in a precision, for which int8 reads some `rows`. What is before and after them
    stays as it is.

    Raises:
        HpoError: for a model that takes what no graph reads, or has other answers than one a row.
    """
    check_kind(model)
    graph, features = Graph(), model.description.features
    inputs, found = add_inputs(graph, features), []
    for place, member in enumerate(model.members):
        width = model.description.shape[0]
        x = add_features(graph, inputs, features, member.data.transform, width)
        calibrating = None if rows is None else model.features(member, rows)
        inner = reduced(network(model, member), precision, calibrating)
        outputs = graph.embed(inner, f"member_{place}_", x)
        found.append(add_answers(graph, outputs, member.data))
    mean, *others = found
    for one in others:
        mean = graph.add("Add", mean, one)
    if others:
        mean = graph.add("Div", mean, graph.constant(len(found), np.float64))
    shape = model.program.output_shape
    mean = add_temperature(graph, mean, model.temperature)
    graph.output(mean, ANSWERS, np.float64, shape)
    return graph.model()


def check_kind(model: Model) -> None:
    """Refuse a model whose inputs a graph does not take.

    Raises:
        HpoError: which says what they are.
    """
    kind = None
    if getattr(model.training.data.dataset, "window", None) is not None:
        kind = "forecasts a series, whose windows hpo makes"
    elif model.description.task == "language" or model.description.type != "float32":
        kind = "learns from texts, whose tokens hpo makes"
    if kind is not None:
        raise HpoError(
            f"{model.folder}: {kind}: use --format stablehlo, which takes encoded numbers."
        )


def cells_of(source: Source, model: Model) -> dict[str, np.ndarray]:
    """The inputs of the ONNX model for some examples."""
    features = model.description.features
    if not features.is_table:
        return {"x": source.x}
    cells: dict[str, np.ndarray] = {}
    if features.numbers:
        cells["numbers"] = np.ascontiguousarray(source.x, np.float64)
    if source.categories is not None and features.texts:
        columns = [
            np.array([*texts, ""], object)[codes]  # the code of an empty cell is -1
            for codes, texts in zip(source.categories.T, source.values, strict=True)
        ]
        cells["texts"] = np.stack(columns, axis=1)
    return cells


def session(model: bytes) -> Any:
    """An engine of onnxruntime on the CPU that runs a model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; a warning would not be the user's
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def answers(engine: Any, cells: Mapping[str, np.ndarray], batch: int) -> np.ndarray:
    """The answers of an engine for cells, in batches."""
    rows = len(next(iter(cells.values())))
    parts = [
        engine.run([ANSWERS], {name: one[start : start + batch] for name, one in cells.items()})[0]
        for start in range(0, rows, batch)
    ]
    return np.concatenate(parts)
