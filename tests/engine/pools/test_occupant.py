"""The trial in a lane: its knobs and its progress."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hpo.engine.pools.occupant import Occupant
from hpo.engine.pools.streaming import Course
from hpo.engine.training.task import Epoch
from hpo.trial import Run
from tests.engine.samples import a_training

_START, _SECOND, _THIRD = (np.array([rate], np.float32) for rate in (0.1, 0.2, 0.3))
# Six steps an epoch, of two micro-batches each.
_OCCUPANT = Occupant(
    Run(3),
    _START,
    a_training(train={"epochs": 9, "seed": 7}),
    Epoch(steps=6, parts=2, rows=16),
    step=15,
    to_step=54,
    is_timed=False,
    changes=((2, _SECOND), (5, _THIRD)),
)


@pytest.mark.parametrize(
    ("epoch", "knobs"),
    [(0, _START), (1, _START), (2, _SECOND), (4, _SECOND), (5, _THIRD), (8, _THIRD)],
)
def test_the_knobs_of_an_epoch_are_those_of_the_last_change_before_it(
    epoch: int, knobs: np.ndarray
) -> None:
    assert _OCCUPANT.knobs_at(epoch) is knobs


@pytest.mark.parametrize(("step", "epochs"), [(0, 0), (5, 0), (6, 1), (15, 2), (54, 9)])
def test_only_whole_epochs_count_as_trained(step: int, epochs: int) -> None:
    assert replace(_OCCUPANT, step=step).epoch == epochs


def test_its_course_tells_streaming_which_rows_come_next() -> None:
    assert _OCCUPANT.course == Course(seed=7, step=15, to_step=54, steps=6, parts=2)
