"""Small data sets and trainings for the tests of the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from hpo.data.dataset import DataSet, Split, of_folds
from hpo.engine.training.targets.sums import metric_sums, metrics
from hpo.engine.training.techniques.gradients import Moment
from hpo.spec.experiment import Training
from hpo.spec.marks import with_leaves

Learn = Callable[..., dict[int, list[dict[str, float]]]]

ROWS, CLASSES = 96, 3
# Small models compile soon.
SMALL_MODELS: dict[str, dict[str, Any]] = {
    "cnn": {"filters": [3], "dense": 6},
    "fourier": {"features": 12},
    "mlp": {"widths": [6]},
    "realmlp": {"widths": [6]},
    "resnet": {"filters": [4], "blocks": 1},
    "rnn": {"width": 4},
    "tabm": {"widths": [6], "members": 2},
    "unet": {"filters": 2, "depth": 1, "convolutions": 1},
    "transformer": {"width": 4, "heads": 2, "depth": 1},
}


def moment(step: Any = 0, seed: int = 0) -> Moment:
    """A step of a trial for updates that are tested without lanes."""
    return Moment(jnp.array([seed, 1], jnp.uint32), jnp.asarray(step, jnp.int32))


def a_split(rng: np.random.Generator, rows: int, shape: tuple[int, ...]) -> Split:
    x = rng.standard_normal((rows, *shape)).astype(np.float32)
    return Split({"x": x, "y": x.reshape(rows, -1)[:, :CLASSES].argmax(1).astype(np.int32)})


def tiny_data() -> DataSet:
    """Ninety-six training rows of five features in three classes."""
    rng = np.random.default_rng(0)
    return DataSet("classification", a_split(rng, ROWS, (5,)), a_split(rng, 40, (5,)), None, 3, "t")


def with_extra(data: DataSet, count: int) -> DataSet:
    """The data set, or each of its folds, with further rows to train on after all that train."""
    rows, rng = data.resident, np.random.default_rng(9)
    x = rng.standard_normal((len(data.members) * count, *rows["x"].shape[1:])).astype(np.float32)
    own = {"x": x, "y": rng.integers(0, data.outputs, len(x)).astype(np.int32)}
    arrays = {name: np.concatenate([array, own[name]]) for name, array in rows.items()}
    found, start = [], len(rows["y"])
    for one in data.members:
        validation = Split(arrays, one.validation.rows) if data.folds else one.validation
        extra = Split(arrays, slice(start, start + count))
        train = Split(arrays, one.train.places)
        found.append(replace(one, train=train, validation=validation, extra=extra))
        start += count
    return of_folds(found) if data.folds else found[0]


def a_training(stream: int = 0, **leaves: Any) -> Training:
    """A small MLP on AdamW; leaves by path with `__` for a dot."""
    document: dict[str, dict[str, Any]] = {
        "data": {"dataset": "iris", "batch_size": 16},
        "model": {"name": "mlp", "widths": [8], "dropout": 0.2},
        "optimizer": {"name": "adamw", "learning_rate": 0.01},
        "train": {"epochs": 4, "stream": stream},
    }
    for path, value in leaves.items():
        part, _, leaf = path.partition("__")
        document[part] = {**document[part], leaf: value} if leaf else value
    return Training.model_validate(document)


def a_merged(stream: int, merged: dict[str, Any], **leaves: Any) -> Training:
    """A training whose program serves the values listed in `merged`."""
    train = {"epochs": 2, "stream": stream, "merged": merged}
    return a_training(**{"train": train, "optimizer": {"name": "adamw"}, **leaves})


def unmerged(training: Training) -> Training:
    """The training in a program of its own."""
    return with_leaves(training, {"train.merged": "none"})


def sums_of(data: DataSet, outputs: np.ndarray, part: Split) -> np.ndarray:
    """The sums of the metrics of a split, for these outputs."""
    batch = {"weight": np.ones(len(part), np.float32), **part.arrays}
    return np.asarray(metric_sums(data.task, outputs, batch, None))


def metrics_of(data: DataSet, outputs: np.ndarray, part: Split) -> dict[str, float]:
    """The metrics of a split, for these outputs."""
    return metrics(data, part, sums_of(data, outputs, part), None)


def weighted(part: Split) -> Split:
    """The split, its rows with weights."""
    weights = np.random.default_rng(7).uniform(0, 3, len(part)).astype(np.float32)
    return Split({**part.arrays, "weight": weights})
