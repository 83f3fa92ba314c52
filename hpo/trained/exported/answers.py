"""The answers of a model's outputs, as nodes of an ONNX graph or as JAX computes them.

They are probabilities, or values in the unit of the targets: what `Targets.predictions` gives.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hpo.data.dataset import DataSet
from hpo.trained.exported.graph import Graph

_DOUBLE = 11  # as `onnx.TensorProto` numbers it


def add_answers(graph: Graph, outputs: str, data: DataSet) -> str:
    """The answers of float32 outputs, float64."""
    x = graph.add("Cast", outputs, to=_DOUBLE)
    if data.task in ("classification", "segmentation", "language"):
        return graph.add("Softmax", x, axis=-1)
    if data.task == "multilabel":
        return graph.add("Sigmoid", x)
    if data.task == "counts":
        return graph.add("Exp", x)
    scale, start = scale_of(data)
    found = graph.add("Mul", x, graph.constant(scale))
    return graph.add("Add", found, graph.constant(start))


def add_temperature(graph: Graph, chances: str, temperature: float) -> str:
    """Chances of classes at a temperature, as `tempered` gives them; 1 changes nothing."""
    if temperature == 1:
        return chances
    least = graph.constant(np.finfo(np.float64).tiny)
    logs = graph.add("Log", graph.add("Max", chances, least))
    return graph.add("Softmax", graph.add("Div", logs, graph.constant(temperature)), axis=-1)


def answers_of(outputs: Any, data: DataSet, temperature: float) -> Any:
    """The answers of outputs, as a function that JAX traces."""
    import jax
    import jax.numpy as jnp

    if data.task in ("classification", "segmentation", "language"):
        return jax.nn.softmax(outputs / temperature)
    if data.task == "multilabel":
        return jax.nn.sigmoid(outputs)
    if data.task == "counts":
        return jnp.exp(outputs)
    scale, start = (jnp.asarray(part, jnp.float32) for part in scale_of(data))
    return outputs * scale + start


def scale_of(data: DataSet) -> tuple[np.ndarray, np.ndarray]:
    """The factor of a regression's outputs, and what is added: their answers in the unit."""
    ends = data.transform.target_range
    if ends is not None:
        return np.asarray(ends[1] - ends[0]), np.asarray(ends[0])
    return np.asarray(data.target_std, np.float64), np.asarray(data.target_mean, np.float64)
