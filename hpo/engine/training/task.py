"""A task: all that lanes, pools and the compiler know of what they train."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.engine.program import Program
from hpo.engine.training.batches import Batch, DeviceData
from hpo.spec.experiment import Training


class Epoch(NamedTuple):
    """The steps of a trial's epoch, the micro-batches of each, and the rows of a step."""

    steps: int
    parts: int
    rows: int


class Tally(NamedTuple):
    """What an evaluation gives.

    `sums` are `[M]`, added up over the rows. `scores` are `[chunks, rows, S]`, those of each row,
    where a metric needs them, and else None.
    """

    sums: Any
    scores: Any | None = None


class Task(Protocol):
    """The functions of one lane, and the sizes that its arrays have.

    A lane is any tree of arrays with a `step`, the steps trained, and a `loss_sum`, that of the
    epoch's steps so far. Inside a compiled program, `knobs` are the trial's numbers `[K]`.
    """

    @property
    def program(self) -> Program:
        """What fixes its compiled code."""
        ...

    @property
    def sums(self) -> int:
        """M: the number of sums that an evaluation gives."""
        ...

    @property
    def scores(self) -> int:
        """S: the number of scores that an evaluation gives for each row; 0 for none."""
        ...

    def shapes(self) -> Any:
        """The shapes of a lane, for what must be known before anything takes memory."""
        ...

    def initial(self, training: Training) -> Any:
        """The lane of a trial before its first step, as NumPy arrays."""
        ...

    def epoch(self, training: Training) -> Epoch:
        """The size of a trial's epoch."""
        ...

    def feed_shapes(self, *, is_chunked: bool) -> Mapping[str, jax.ShapeDtypeStruct]:
        """The shapes of what the host draws for an epoch of a lane."""
        ...

    def feed(self, training: Training, epoch: int) -> Mapping[str, np.ndarray]:
        """What the host draws for an epoch of a trial, counted from 0."""
        ...

    def steps(self, knobs: Any) -> Any:
        """The steps of an epoch, traced where they differ between trials."""
        ...

    def train(self, knobs: Any, lane: Any, data: DeviceData, feed: Batch, count: Any) -> Any:
        """The lane after `count` more steps of the epoch that `feed` is drawn for."""
        ...

    def evaluate(self, knobs: Any, lane: Any, rows: Batch, sums: Any | None = None) -> Tally:
        """The tally of the lane's judged state over the rows of a split, added to `sums`."""
        ...

    def metrics(
        self, data: DataSet, split: Split, sums: np.ndarray, scores: np.ndarray | None
    ) -> dict[str, float]:
        """Named metrics from the tally of a whole split."""
        ...


@lru_cache(maxsize=256)
def task_of(program: Program) -> Task:
    """The task that a program trains."""
    from hpo.engine.training.supervised import Supervised

    return Supervised(program)
