"""A pool: the lanes of one program that train together on one device, refilled as trials leave."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.engine.compiler import Compiler, LaneOperations
from hpo.engine.lane import (
    DeviceData,
    Lane,
    abstract_lane,
    evaluate,
    host_data,
    host_rows,
    initial_lane,
)
from hpo.engine.losses import metrics
from hpo.engine.order import batches
from hpo.engine.plan import Plan
from hpo.engine.program import Program
from hpo.spec.experiment import Training

# A round aims at this long, so that a stop is obeyed soon and a display moves; long epochs are
# cut into several rounds, which changes no result.
_ROUND_SECONDS = 0.5
# Steps in a program's very first round, when nobody knows how long they take.
_FIRST_STEPS = 32


@dataclass(frozen=True)
class Report:
    """What an epoch of a trial came to: metrics of the validation split and the training loss."""

    trial: int
    epoch: int
    metrics: dict[str, float]


@dataclass
class _Occupant:
    trial: int
    knobs: np.ndarray
    seed: int
    step: int
    to_step: int


class Pool:
    """Lanes of one program on one device. Lives in one thread, which owns all its calls."""

    def __init__(self, device: Any, compiler: Compiler) -> None:
        self.device = device
        self.epochs_trained = 0.0
        self._compiler = compiler
        self._device_data: dict[int, tuple[DataSet, DeviceData]] = {}
        self._step_seconds: dict[str, float] = {}
        self._occupants: list[_Occupant | None] = []
        self._program: Program
        self._data: DataSet
        self._operations: LaneOperations
        self._lanes: Lane

    @property
    def lane_count(self) -> int:
        """How many lanes there are."""
        return len(self._occupants)

    @property
    def has_work(self) -> bool:
        """Whether a lane has steps to train."""
        return any(o is not None and o.step < o.to_step for o in self._occupants)

    def load(self, program: Program, plan: Plan, data: DataSet) -> Plan:
        """Make this the pool of `program`, with every lane empty; gives the plan that fits.

        Raises:
            HpoError: for a model that the data do not fit; it leaves a pool without lanes.
            DeviceError: for one that the device cannot hold, likewise.
        """
        self._occupants = []
        shapes = abstract_lane(program)
        self._program, self._data = program, data
        self._operations = self._compiler.compile(
            program, plan, self._on_device(data), shapes, self.device
        )
        plan = self._operations.plan
        self._lanes = jax.device_put(
            jax.tree.map(lambda a: np.zeros((plan.lanes, *a.shape), a.dtype), shapes), self.device
        )
        self._occupants = [None] * plan.lanes
        return plan

    def put(
        self,
        index: int,
        trial: int,
        training: Training,
        knobs: np.ndarray,
        lane: Lane | None,
        to_epoch: int,
    ) -> None:
        """Set a trial into the lane at `index`: from its state, or from the start for None."""
        if lane is None:
            lane = initial_lane(self._program, training)
        self._lanes = self._operations.put(self._lanes, np.int32(index), lane)
        self._occupants[index] = _Occupant(
            trial, knobs, training.train.seed, int(lane.step), to_epoch * self._program.steps
        )

    def extend(self, index: int, to_epoch: int) -> None:
        """Let the trial in a lane train on up to a later epoch."""
        self._occupant(index).to_step = to_epoch * self._program.steps

    def take(self, index: int) -> Lane:
        """The state of the lane at `index`, on the host; the lane stays as it is."""
        return Lane(*jax.device_get(self._operations.take(self._lanes, np.int32(index))))

    def evaluate(self, index: int, split: Split) -> dict[str, float]:
        """Metrics of the lane at `index` on another split of its data."""
        sums = jax.jit(evaluate, static_argnums=0)(
            self._program, self.take(index), jax.device_put(host_rows(split), self.device)
        )
        return metrics(self._data, split, np.asarray(sums))

    def clear(self, index: int) -> None:
        """Empty the lane at `index`."""
        self._occupants[index] = None

    def occupied(self) -> list[int]:
        """The lanes that hold a trial."""
        return [i for i, occupant in enumerate(self._occupants) if occupant is not None]

    def occupant(self, index: int) -> tuple[int, int, int]:
        """The trial in a lane, as (trial, whole epochs trained, steps trained)."""
        occupant = self._occupant(index)
        return occupant.trial, occupant.step // self._program.steps, occupant.step

    def round(self) -> list[Report]:
        """Train every lane that has work some steps further; reports of the epochs that ended."""
        program, start = self._program, time.monotonic()
        counts = self._counts()
        result = self._train(counts)
        seconds = time.monotonic() - start
        self.epochs_trained += int(counts.sum()) / program.steps
        self._step_seconds[program.label] = seconds / counts.sum()

        reports = []
        for i, occupant in enumerate(self._occupants):
            if occupant is None or counts[i] == 0:
                continue
            occupant.step += int(counts[i])
            if result.has_ended_epoch[i]:
                values = metrics(self._data, self._data.validation, result.metric_sums[i])
                values["train_loss"] = float(result.train_loss[i])
                epoch = occupant.step // program.steps
                reports.append(Report(occupant.trial, epoch, values))
                if not np.isfinite(list(values.values())).all():
                    occupant.to_step = occupant.step  # diverged: train it no further
        return reports

    def _train(self, counts: np.ndarray) -> Any:
        knobs = np.zeros((len(counts), len(self._program.knobs)), np.float32)
        shape = (len(counts), self._program.steps, self._program.batch_size)
        order = np.zeros(shape, np.int32)
        for i, occupant in enumerate(self._occupants):
            if occupant is not None and counts[i]:
                knobs[i] = occupant.knobs
                epoch = occupant.step // self._program.steps
                rows, size = self._program.train_rows, self._program.batch_size
                order[i] = _batches(occupant.seed, epoch, rows, size)
        self._lanes, result = self._operations.round(
            self._lanes, self._on_device(self._data), knobs, order, counts
        )
        return jax.device_get(result)

    def _counts(self) -> np.ndarray:
        """Steps of each lane in the next round: none past its epoch, few enough to end soon."""
        left = np.zeros(len(self._occupants), np.int32)
        for i, o in enumerate(self._occupants):
            if o is not None and o.step < o.to_step:
                left[i] = self._program.steps - o.step % self._program.steps
        seconds = self._step_seconds.get(self._program.label)
        budget = _FIRST_STEPS if seconds is None else int(_ROUND_SECONDS / seconds)
        if self._operations.plan.form == "vmap":
            each = max(1, budget // int(np.count_nonzero(left)))
            together = min(each, int(left[left > 0].min()))
            return np.where(left > 0, together, 0).astype(np.int32)
        # One after the other, an epoch begun before another: results come as soon as they can.
        counts = np.zeros_like(left)
        waiting = [i for i, steps in enumerate(left) if steps]
        for i in sorted(waiting, key=lambda i: (left[i], self._occupant(i).step, i)):
            counts[i] = min(int(left[i]), max(1, budget))
            budget -= int(counts[i])
            if budget <= 0:
                break
        return counts

    def _on_device(self, data: DataSet) -> DeviceData:
        if id(data) not in self._device_data:
            # The data set is kept beside its copy, so that no other one gets its id.
            copy = jax.device_put(host_data(data), self.device)
            self._device_data[id(data)] = (data, copy)
        return self._device_data[id(data)][1]

    def _occupant(self, index: int) -> _Occupant:
        occupant = self._occupants[index]
        assert occupant is not None, f"lane {index} is empty"
        return occupant


@lru_cache(maxsize=64)
def _batches(seed: int, epoch: int, rows: int, batch_size: int) -> np.ndarray:
    return batches(seed, epoch, rows, batch_size)
