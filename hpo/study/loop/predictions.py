"""What a trial predicts for the validation rows, from the states in which its runs ended."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hpo.data.dataset import DataSet
from hpo.engine.program import Program
from hpo.engine.training.ensemble import mean_on_validation
from hpo.engine.training.lane import lane_from_arrays
from hpo.engine.training.supervised import own_weights
from hpo.engine.training.task import task_of
from hpo.spec.experiment import Training
from hpo.study.executors.messages import Arrays
from hpo.study.loop.replicas import Replicas
from hpo.trained.predict import other_answers

# Predictions of this many bytes are computed when they are needed: 1 million rows of 32 classes.
MOST_BYTES = 2**28


def validation_predictions(
    program: Program, training: Training, data: DataSet, states: Mapping[str, Arrays]
) -> np.ndarray | None:
    """The predictions that judge a trial, float64 `[N, K]`; None where none are to be kept.

    `states` are those of the runs, by their keys in a trial 0.
    """
    if other_answers(data.task, training.data.dataset) is not None:
        return None
    rows = sum(len(fold.validation) for fold in data.members)
    if rows * data.outputs * np.dtype(np.float64).itemsize > MOST_BYTES:
        return None
    shapes, weights = task_of(program).shapes(), []
    for run in Replicas.of(training).runs_of(0):
        lane = lane_from_arrays(shapes, states[run.key])
        if lane is None:
            return None
        params, variables = own_weights(program, training, lane)
        weights.append({"params": params, "variables": variables})
    return mean_on_validation(program, training, weights, data)
