"""Networks that teach a student of small images, and the same by NumPy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hpo.data.dataset import DataSet
from hpo.engine.program import split
from hpo.engine.training.compression.teaching import Network, scale_between
from tests.engine.samples import CLASSES, ROWS, a_split, a_training

# The teacher scales pixels in another way than its student.
OWN, OTHER = (np.float64(0.5), np.float64(2.0)), (np.float64(-1.0), np.float64(0.25))


def images() -> DataSet:
    """Ninety-six training images of four by four pixels in three classes."""
    rng = np.random.default_rng(0)
    parts = a_split(rng, ROWS, (4, 4, 1)), a_split(rng, 40, (4, 4, 1))
    return DataSet("classification", *parts, None, CLASSES, "images")


def some_weights(seed: int) -> dict[str, Any]:
    """Those of a perceptron of five units for the images."""
    rng = np.random.default_rng(seed)

    def layer(inputs: int, outputs: int) -> dict[str, np.ndarray]:
        shapes = {"bias": (outputs,), "kernel": (inputs, outputs)}
        return {name: rng.normal(size=s).astype(np.float32) / 2 for name, s in shapes.items()}

    params = {"head": layer(5, CLASSES), "linears": {0: layer(16, 5)}}
    return {"params": params, "variables": {}}


def outputs_of(weights: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """The outputs of this perceptron, in float64, for a student's features."""
    head = weights["params"]["head"]
    found: np.ndarray = hidden_of(weights, x) @ head["kernel"] + head["bias"]
    return found


def hidden_of(weights: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """Its hidden units."""
    pixels = x.astype(np.float64) * OWN[1] + OWN[0]
    at = ((pixels - OTHER[0]) / OTHER[1]).reshape(len(x), -1)
    first = weights["params"]["linears"][0]
    found: np.ndarray = np.maximum(at @ first["kernel"] + first["bias"], 0)
    return found


def with_teacher(data: DataSet, *seeds: int) -> DataSet:
    """The images, with networks of these seeds."""
    training = a_training(model={"name": "mlp", "widths": [5]})
    program, _ = split(training, data, "cpu")
    scale = scale_between(OWN, OTHER)
    share = np.float32(1 / len(seeds))
    networks = (
        Network(some_weights(seed), scale, share, program, training, features=5) for seed in seeds
    )
    return replace(data, teacher=tuple(networks))
