"""The latency of a model before it is trained, as onnxruntime answers for a row once exported."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hpo.data.dataset import DataSet
from hpo.engine.models.abstract import abstract_model
from hpo.engine.programs.footprint import own_program
from hpo.spec.experiment import Training
from hpo.trained.description import Description
from hpo.trained.exported.bench import drawn_rows
from hpo.trained.exported.folder import check_extra
from hpo.trained.exported.precision import NoProductError, Precision
from hpo.trained.model import Member, Model

# It is the minimum of at least this many calls, over at least this time.
_FEWEST_CALLS = 20
_LEAST_SECONDS = 0.02
# Drawn rows that calibrate int8, whose speed does not depend on them.
_CALIBRATING = 64


def exported_call(training: Training, data: DataSet, platform: str) -> Callable[[], Any]:
    """A call of the engine with one row, from its cells to its answer.

    Weights in few bits are int8 in the file, others float32. The values of weights do not matter,
    so they are none that a trial has.

    Raises:
        HpoError: for a model that cannot be exported, or if onnxruntime is not installed.
    """
    check_extra("onnx")
    from hpo.trained.exported.onnx_model import answers, cells_of, onnx_model, session

    model = _untrained(training, data, platform)
    weights = getattr(training.compression, "weights", None)
    precision: Precision = "int8" if getattr(weights, "name", "") == "integer" else "float32"
    try:
        found = onnx_model(model, precision, drawn_rows(model, _CALIBRATING))
    except NoProductError:
        found = onnx_model(model)
    cells = cells_of(drawn_rows(model, 1), model)
    return partial(answers, session(found.SerializeToString()), cells, 1)


def fastest_ms(call: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """The milliseconds of the shortest of many calls: other work can only slow one down."""
    call()
    times: list[float] = []
    end = clock() + _LEAST_SECONDS
    while len(times) < _FEWEST_CALLS or clock() < end:
        start = clock()
        call()
        times.append(clock() - start)
    return 1000 * min(times)


def _untrained(training: Training, data: DataSet, platform: str) -> Model:
    """A model of the training's own shape; of folds, that of the first one."""
    data = data.members[0]
    program = own_program(training, data, platform)
    shapes = abstract_model(program.of_its_own(training))
    arrays = {"params": shapes.params, "variables": shapes.variables}
    weights = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.01, leaf.dtype), arrays)
    told = Description.of(data)
    member = Member(weights, told.data_of(data.transform), None)
    return Model(Path("the model"), training, told, (member,), program)
