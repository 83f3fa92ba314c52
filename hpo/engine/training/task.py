"""A task: everything that lanes, pools and the compiler know about a training."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.engine.program import Program
from hpo.engine.task_program import AnyProgram
from hpo.engine.training.batches import Batch, DeviceData
from hpo.spec.experiment import Training


class Epoch(NamedTuple):
    """The steps of a trial's epoch, the micro-batches of each, and the rows of a step."""

    steps: int
    parts: int
    rows: int


class Progress(NamedTuple):
    """How far a trial has trained: whole epochs, and steps of the next one.

    It is not one count of steps, because the epochs of a trial may differ in length.
    """

    epoch: int
    step: int


class Tally(NamedTuple):
    """The result of an evaluation.

    `sums` `[M]` are totals over the rows. `scores` `[chunks, rows, S]` are numbers for each row;
    None if no metric needs them.
    """

    sums: Any
    scores: Any | None = None


class Task(Protocol):
    """The functions of one lane, and the sizes of its arrays.

    A lane is any tree of arrays. Inside a compiled program, `knobs` `[K]` are the trial's numbers.
    """

    @property
    def program(self) -> AnyProgram:
        """The program, which decides the compiled code."""
        ...

    @property
    def is_whole(self) -> bool:
        """Whether it evaluates all rows of a split at once, and so never streams data."""
        ...

    @property
    def sums(self) -> int:
        """M: the number of sums in a tally."""
        ...

    @property
    def scores(self) -> int:
        """S: the number of scores for each row in a tally; 0 for none."""
        ...

    def shapes(self) -> Any:
        """The shapes of a lane, without allocating memory."""
        ...

    def initial(self, training: Training, data: DataSet | None = None) -> Any:
        """The lane of a trial before its first step, as NumPy arrays.

        `data` are those that it trains on: with folds, its own one.
        """
        ...

    def epoch(self, training: Training, fold: DataSet | None = None) -> Epoch:
        """The size of a trial's epoch, on a fold of its data set if it has several."""
        ...

    def feed_shapes(self, *, is_chunked: bool) -> Mapping[str, jax.ShapeDtypeStruct]:
        """The shapes of the arrays that the host draws for an epoch of a lane."""
        ...

    def order(self, seed: int, epoch: int) -> np.ndarray:
        """The rows of each micro-batch of an epoch, int32 `[parts, rows]`, for all trials.

        `seed` is `train.seed`. Epochs count from 0.
        """
        ...

    def feed(
        self,
        training: Training,
        epoch: int,
        data: DataSet | None = None,
        losses: np.ndarray | None = None,
    ) -> Mapping[str, np.ndarray]:
        """The arrays that the host draws for an epoch of a trial; epochs count from 0.

        `data` are those that it trains on: with folds, its own one. `losses` are those that its
        lane keeps.
        """
        ...

    def constants(self, data: DataSet | None) -> Mapping[str, np.ndarray]:
        """The arrays of a feed that are the same in all epochs of a data set."""
        ...

    def row_losses(self, lanes: Any) -> Any | None:
        """The losses of training rows that lanes keep, `[L, N]`; None if no feed reads them."""
        ...

    def progress(self, training: Training, lane: Any, fold: DataSet | None = None) -> Progress:
        """How far the trial of a lane on the host has trained."""
        ...

    def has_ended_epoch(self, knobs: Any, lane: Any, feed: Batch) -> Any:
        """Whether the last step of a lane was the last one of an epoch."""
        ...

    def train_loss(self, knobs: Any, lane: Any, feed: Batch) -> Any:
        """The mean training loss of a lane that has ended an epoch; None for a task without."""
        ...

    def norms(self, knobs: Any, lane: Any, feed: Batch) -> Any:
        """The mean norms of the gradient in an epoch; None for a task or a spec without."""
        ...

    def named_norms(self, norms: np.ndarray) -> dict[str, float]:
        """These norms as metrics, by their names."""
        ...

    def train(self, knobs: Any, lane: Any, data: DeviceData, feed: Batch, count: Any) -> Any:
        """The lane after `count` more steps of the epoch that `feed` is drawn for."""
        ...

    def evaluate(self, knobs: Any, lane: Any, rows: Any, sums: Any | None = None) -> Tally:
        """The tally of the lane's judged state over the rows of a split, added to `sums`.

        `rows` are those of a `Batch`, or on a fold an `Index` of them.
        """
        ...

    def metrics(
        self,
        data: DataSet,
        split: Split,
        sums: np.ndarray,
        scores: np.ndarray | None,
        thresholds: np.ndarray | None = None,
    ) -> dict[str, float]:
        """Named metrics from the tally of a whole split.

        Thresholds that a spec asks for are chosen on the split unless they are given.
        """
        ...

    def thresholds(self, data: DataSet, scores: np.ndarray | None) -> np.ndarray | None:
        """The thresholds that the scores of the validation split choose; None for none."""
        ...


@lru_cache(maxsize=256)
def task_of(program: AnyProgram) -> Task:
    """The task that a program trains."""
    if isinstance(program, Program):
        from hpo.engine.training.supervised import Supervised

        return Supervised(program)
    from hpo.engine.training.own_task import OwnTask

    return OwnTask(program)


@lru_cache(maxsize=16)
def evaluating(program: AnyProgram) -> Any:
    """The compiled evaluation of one lane, which all models of a program share."""
    return jax.jit(task_of(program).evaluate)
