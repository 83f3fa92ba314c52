"""The latency of a model before it is trained, as onnxruntime answers for a row once exported."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hpo.data.dataset import DataSet
from hpo.engine.models.abstract import abstract_model
from hpo.engine.programs.footprint import call_seconds, own_program
from hpo.spec.experiment import Training
from hpo.trained.description import Description
from hpo.trained.exported.bench import drawn_rows
from hpo.trained.exported.folder import check_extra
from hpo.trained.model import Member, Model


def exported_call(training: Training, data: DataSet, platform: str) -> Callable[[], Any]:
    """A call of the engine with one row, from its cells to its answer.

    The values of weights do not matter, so they are none that a trial has.

    Raises:
        ExportError: for a model that cannot be exported, or if onnxruntime is not installed.
    """
    check_extra("onnx")
    from hpo.trained.exported.onnx_model import answers, onnx_model, session

    model = _untrained(training, data, platform)
    cells = drawn_rows(model, 1).cells(model)
    return partial(answers, session(onnx_model(model).SerializeToString()), cells, 1)


def exported_shape(training: Training, data: DataSet, platform: str) -> Hashable:
    """What decides the graph that `exported_call` runs: other trainings of it take as long."""
    program, between = own_program(training, data, platform), training.compression.activations
    is_cut = between.bits is not None, between.top is not None
    return program.model, program.example_shape, is_cut, data.fingerprint


def fastest_ms(call: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """The milliseconds of the shortest of many calls: other work can only slow one down."""
    return 1000 * min(call_seconds(call, clock=clock))


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
