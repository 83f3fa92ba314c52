"""The spec's own model as a baseline: one training by an optimizer that finds its learning rate.

It trains in the process of the baselines, on one core: no trial and no plan of the search knows it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.registry import MODELS
from hpo.study.log.baseline import BaselineKey

if TYPE_CHECKING:
    from hpo.data.dataset import DataSet  # imports more than the process of baselines needs
    from hpo.study.baselines.estimators import Predict, Problem

# Of those that find their rate, the best or nearly so on three data sets: docs/baselines.md.
OPTIMIZER = "prodigy"
NETWORK: BaselineKey = ("network", OPTIMIZER)
_ROWS_AT_ONCE = 1024


class TooSlowError(Exception):
    """The network would train for longer than it may."""


def network_of(data: DataSet, training: Any) -> dict[str, Any] | None:
    """What the process needs to train the model of a spec, as plain values; None for no such model.

    Models and losses of a user's own would run code of theirs. Trained weights, and loaded vectors
    of words, are in files of theirs.
    """
    from hpo.spec.code.own_functions import OwnLoss
    from hpo.spec.code.own_model import OwnModel
    from hpo.spec.sections.models.pretrained import folder_of
    from hpo.study.baselines.encoded import encoding_of

    model, loss = training.model, training.loss
    if isinstance(model, OwnModel) or isinstance(loss, OwnLoss) or MODELS[model.name].is_own:
        return None
    if data.embedding_size or folder_of(model) is not None:
        return None
    if getattr(model, "output", "linear") != "linear":
        return None
    document = {
        "data": {"dataset": "iris", "batch_size": training.data.batch_size},
        "model": model.model_dump(mode="json", by_alias=True),
        "optimizer": {"name": OPTIMIZER, "schedule": {"name": "cosine"}},
        "train": {"epochs": training.train.epochs, "seed": training.train.seed},
    }
    if loss is not None:
        document["loss"] = loss.model_dump(mode="json")
    shape = [*data.train.example_shape]
    return {"training": document, "example_shape": shape, "encoding": encoding_of(data)}


def trained(network: Mapping[str, Any], problem: Problem) -> Predict:
    """The predictions of the network after its training on the rows of a problem.

    Raises:
        TooSlowError: after two epochs, if all of them would take longer than `seconds` of CPU.
    """
    import jax

    from hpo.data.dataset import Split
    from hpo.engine.program import split
    from hpo.engine.training.batches import host_data
    from hpo.engine.training.forward import forward
    from hpo.engine.training.supervised import judged
    from hpo.engine.training.task import task_of
    from hpo.spec.experiment import Training
    from hpo.spec.fill import with_rows
    from hpo.study.baselines.encoded import EncodedRows

    shape = network["example_shape"]
    arrays = {"x": np.asarray(problem.x).reshape(-1, *shape), "y": np.asarray(problem.y)}
    if problem.weight is not None:
        arrays["weight"] = np.asarray(problem.weight)
    rows = Split(arrays)
    facts = (problem.task, rows, rows, None, problem.outputs, "baseline")
    data = EncodedRows(*facts, encoding=network["encoding"])
    training = with_rows(Training.model_validate(network["training"]), len(rows))
    program, knobs = split(training, data, "cpu")
    task = task_of(program)
    task.shapes()  # refuses a model that cannot take these examples
    lane, held = task.initial(training, data), jax.device_put(host_data(data, is_whole=False))
    step = jax.jit(task.train, donate_argnums=1)
    for epoch in range(training.train.epochs):
        began = time.process_time()
        feed = task.feed(training, epoch, data)
        lane = step(knobs, lane, held, feed, task.epoch(training).steps)
        jax.block_until_ready(lane)
        # The first epoch compiles the program.
        each = time.process_time() - began if epoch == 1 else 0.0
        if each * training.train.epochs > network["seconds"]:
            raise TooSlowError
    state = judged(program, training, lane)
    outputs_of = jax.jit(lambda x: forward(program, training, *state, {"x": x})[0])

    def predict(x: np.ndarray) -> np.ndarray:
        parts = range(0, len(x), _ROWS_AT_ONCE)
        pieces = [np.asarray(x[i : i + _ROWS_AT_ONCE]).reshape(-1, *shape) for i in parts]
        outputs = np.concatenate([np.asarray(outputs_of(piece)) for piece in pieces])
        return _predictions(problem.task, outputs.astype(np.float64).reshape(len(x), -1))

    return predict


def _predictions(task: str, outputs: np.ndarray) -> np.ndarray:
    """Probabilities, standardised values or rates, from the outputs of a model."""
    from scipy.special import expit, softmax

    links: Mapping[str, Any] = {
        "classification": partial(softmax, axis=1),
        "multilabel": expit,
        "counts": np.exp,
        "regression": np.asarray,
    }
    found: np.ndarray = links[task](outputs)
    return found
