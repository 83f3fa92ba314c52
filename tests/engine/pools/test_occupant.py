"""The trial in a lane: its knobs and its progress."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hpo.engine.pools.occupant import Occupant
from hpo.engine.pools.streaming import Course
from hpo.engine.training.task import Epoch, Progress
from hpo.engine.training.techniques.schedules import ScheduledNumbers
from hpo.trial import Run
from tests.engine.samples import a_training

_START, _SECOND, _THIRD = (np.array([rate], np.float32) for rate in (0.1, 0.2, 0.3))
# Six steps an epoch, of two micro-batches each.
_OCCUPANT = Occupant(
    Run(3),
    _START,
    a_training(train={"epochs": 9, "seed": 7}),
    Epoch(steps=6, parts=2, rows=16),
    Progress(2, 3),
    to_epoch=9,
    is_timed=False,
    changes=((2, _SECOND), (5, _THIRD)),
    schedules=ScheduledNumbers((), 9),
    losses=[],
)


@pytest.mark.parametrize(
    ("epoch", "knobs"),
    [(0, _START), (1, _START), (2, _SECOND), (4, _SECOND), (5, _THIRD), (8, _THIRD)],
)
def test_the_knobs_of_an_epoch_are_those_of_the_last_change_before_it(
    epoch: int, knobs: np.ndarray
) -> None:
    assert _OCCUPANT.knobs_at(epoch) is knobs


@pytest.mark.parametrize("rounds", [[6, 6, 6], [2, 4, 1, 1, 4, 6], [1] * 18])
def test_an_epoch_ends_with_its_last_step_however_rounds_divide_it(rounds: list[int]) -> None:
    occupant, trained = replace(_OCCUPANT, progress=Progress(0, 0), to_epoch=3), 0
    for steps in rounds:
        assert occupant.has_work
        occupant.advance(steps)
        trained += steps
        assert occupant.progress == divmod(trained, 6)
        assert occupant.epoch == trained // 6
    assert not occupant.has_work


def test_its_course_tells_streaming_which_rows_come_next() -> None:
    assert _OCCUPANT.course == Course(7, Progress(2, 3), to_epoch=9, steps=6, parts=2)
