"""A pool: the lanes of one program that train together at one place, refilled as trials leave."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.engine.devices import memory_bytes
from hpo.engine.energy import Meter
from hpo.engine.mesh import Place, devices_of, fewer_lanes, sharding
from hpo.engine.pools.occupant import Changes, EpochReport, Occupant
from hpo.engine.pools.streaming import (
    Copies,
    Course,
    Stream,
    budget_bytes,
    over_pieces,
    placement_of,
)
from hpo.engine.program import Program
from hpo.engine.programs.compiler import Compiler, LaneOperations
from hpo.engine.programs.footprint import latency_ms, model_bytes
from hpo.engine.programs.memory import halved, is_exhausted
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.stopwatch import Stopwatch
from hpo.engine.task_program import AnyProgram
from hpo.engine.techniques import check_techniques
from hpo.engine.training.batches import Batch, DeviceData, whole_rows
from hpo.engine.training.compression.sparsity import is_sparse
from hpo.engine.training.metrics.scored import MetricError
from hpo.engine.training.task import Progress, Tally, Task, evaluating, task_of
from hpo.engine.training.techniques.schedules import ScheduledNumbers
from hpo.spec.code.frames import CodeError
from hpo.spec.experiment import Training
from hpo.trial import Run, is_finite

# The target length of a round: short, so that a stop takes effect soon and the display moves. Long
# epochs are divided into several rounds, which changes no result.
_ROUND_SECONDS = 0.5
# The micro-batches of a program's first round, before any has been timed.
_FIRST_PARTS = 32
# A training step costs three forward passes: one forward, and one backward that costs two.
_PASSES_OF_A_STEP = 3


class Pool:
    """Lanes of one program, on a device or a mesh. One thread makes all calls."""

    def __init__(self, place: Place, compiler: Compiler, meter: Meter | None = None) -> None:
        self.place = place
        self.epochs_trained = 0.0
        self.stopwatch = Stopwatch("idle")
        # The seconds and joules of the last round, divided among its runs by their micro-batches.
        self.seconds: Mapping[Run, float] = {}
        self.joules: Mapping[Run, float] = {}
        self._meter = Meter() if meter is None else meter
        self._compiler = compiler
        self._copies = Copies(place)
        self.part_seconds: dict[AnyProgram, float] = {}  # of a micro-batch, the minimum
        self._part_seconds: float | None = None  # of a micro-batch in the last round
        self._occupants: list[Occupant | None] = []
        self._program: AnyProgram
        self._task: Task
        self._data: DataSet
        self._budget: int | None = None  # bytes of the device that data may take
        self._stream: Stream | None = None  # only for data above the budget
        self._operations: LaneOperations
        self._lanes: Any = None  # a `Lane`, once it is loaded

    @property
    def lane_count(self) -> int:
        """The number of lanes."""
        return len(self._occupants)

    @property
    def program(self) -> AnyProgram:
        """The program that it was last loaded with."""
        return self._program

    @property
    def has_work(self) -> bool:
        """Whether a lane has steps to train."""
        return any(o is not None and o.has_work for o in self._occupants)

    def load(self, program: AnyProgram, plans: Plans, data: DataSet) -> Plan:
        """Load `program`, with all lanes empty; returns the best plan.

        Raises:
            HpoError: for a model that does not fit the data; the pool then has no lanes.
            DeviceError: for a program that the device cannot hold; the pool then has no lanes.
        """
        with self.stopwatch.during("compiling"):
            while True:
                try:
                    return self._load(program, plans, data)
                except jax.errors.JaxRuntimeError as error:
                    if not is_exhausted(error):
                        raise
                    if not self._copies.keep_only(data):
                        plans = Plans(halved(plans.usual, self.place))

    def halve(self) -> Plan:
        """Halve the lanes after the memory has run out, all empty; returns the new plan.

        Raises:
            DeviceError: if there was only one lane; the pool then has no lanes.
        """
        plan, self._occupants = self._operations.plan, []
        self._copies.keep_only(None)
        return self.load(self._program, Plans(halved(plan, self.place)), self._data)

    def _load(self, program: AnyProgram, plans: Plans, data: DataSet) -> Plan:
        self._occupants = []
        # The new lanes need the memory of the old ones.
        for leaf in jax.tree.leaves(self._lanes):
            leaf.delete()
        self._program, self._task, self._data = program, task_of(program), data
        shapes = self._task.shapes()
        self._part_seconds = self.part_seconds.get(program)
        inputs = self._device_data(program, plans.usual, data)
        if self._stream is not None:
            usual = plans.usual
            if usual.form == "vmap":
                # A chunk has to hold a batch for each lane, since all of them train at once.
                assert isinstance(program, Program), "an own task streams no data"
                most = min(usual.lanes, self._stream.size // program.most_parts)
                usual = replace(usual, lanes=fewer_lanes(self.place, most))
            # No other plan is timed, because each would need another chunk.
            plans = Plans(usual)
        beside = 0 if self._stream is None else self._stream.chunk_bytes
        if plans.others:
            self._copies.keep_only(data)  # plans are measured with no other data on the device
        self._operations = self._compiler.compile(
            program, plans, inputs, shapes, self.place, beside
        )
        memory = memory_bytes(devices_of(self.place)[0])
        if (
            memory is not None
            and self._operations.peak_bytes + self._copies.bytes_beside(data) > memory
        ):
            self._copies.keep_only(data)
        plan = self._operations.plan
        self._lanes = jax.device_put(
            jax.tree.map(lambda a: np.zeros((plan.lanes, *a.shape), a.dtype), shapes),
            sharding(self.place, is_of_lanes=True),
        )
        self._occupants = [None] * plan.lanes
        return plan

    def put(
        self,
        index: int,
        run: Run,
        training: Training,
        knobs: np.ndarray,
        lane: Any | None,
        to_epoch: int,
        changes: Changes = (),
        is_timed: bool = False,
        losses: Sequence[float] = (),
    ) -> None:
        """Put a trial into the lane at `index`: from its state `lane`, or from the start for None.

        `changes` are all changes of its knobs, before its state and after. With `is_timed`, the
        report of its last epoch holds the latency of its model. `losses` are the validation losses
        of the epochs before its state.
        """
        fold = self._fold(run)
        with self.stopwatch.during("moving"), jax.profiler.TraceAnnotation("put"):
            if lane is None:
                lane = self._task.initial(training, fold or self._data)
            self._lanes = self._operations.put(self._lanes, np.int32(index), lane)
        self._occupants[index] = Occupant(
            run,
            knobs,
            training,
            self._task.epoch(training, fold),
            self._task.progress(training, lane, fold),
            to_epoch,
            is_timed,
            changes,
            ScheduledNumbers.of(training, self._program),
            [*losses],
        )

    def copy(self, source: int, index: int, knobs: np.ndarray, changes: Changes) -> None:
        """Continue the trial in the lane at `index` from the state of the lane `source`.

        The state, with its random stream, stays on the device; on a mesh it goes through the host.
        """
        with self.stopwatch.during("moving"):
            if len(devices_of(self.place)) == 1:
                state = self._operations.take(self._lanes, np.int32(source))
            else:
                state = self._take(source)  # which another device may hold
            self._lanes = self._operations.put(self._lanes, np.int32(index), state)
        run, theirs = self._occupant(index).run, self._occupant(source)
        own = replace(theirs, run=run, knobs=knobs, changes=changes, losses=[*theirs.losses])
        self._occupants[index] = replace(own, to_epoch=theirs.epoch)

    def extend(self, index: int, to_epoch: int) -> None:
        """Let the trial in a lane train up to a later epoch."""
        self._occupant(index).to_epoch = to_epoch

    def take(self, index: int) -> Any:
        """The state of the lane at `index`, on the host; the lane is unchanged."""
        with self.stopwatch.during("moving"), jax.profiler.TraceAnnotation("take"):
            return self._take(index)

    def _take(self, index: int) -> Any:
        taken = self._operations.take(self._lanes, np.int32(index))
        devices = len(devices_of(self.place))
        if devices == 1:
            return jax.device_get(taken)
        holder = index // (self.lane_count // devices)
        return jax.tree.map(lambda a: a[0], jax.device_get(_held_by(taken, holder)))

    def evaluate(
        self, index: int, split: Split, thresholds: np.ndarray | None = None
    ) -> dict[str, float]:
        """Metrics of the lane at `index` on another split of its data."""
        data = self._fold(self._occupant(index).run) or self._data
        tally = self._tally(index, split)
        return self._task.metrics(data, split, tally.sums, tally.scores, thresholds)

    def thresholds(self, index: int) -> np.ndarray | None:
        """The thresholds that the validation split chooses for the lane; None for none."""
        if not self._task.scores:
            return None
        data = self._fold(self._occupant(index).run) or self._data
        return self._task.thresholds(data, self._tally(index, data.validation).scores)

    def _tally(self, index: int, split: Split) -> Tally:
        lane, one_lane = self.take(index), evaluating(self._program)
        knobs, device = self._occupant(index).knobs, devices_of(self.place)[0]
        if self._task.is_whole:
            rows = jax.device_put(whole_rows(split), device)
            tally: Tally = jax.device_get(one_lane(knobs, lane, rows))
            return tally
        return over_pieces(
            lambda sums, rows: one_lane(knobs, lane, rows, sums),
            np.zeros(self._task.sums, np.float32),
            split,
            device,
            self._budget,
        )

    def clear(self, index: int) -> None:
        """Empty the lane at `index`."""
        self._occupants[index] = None

    def occupied(self) -> list[int]:
        """The lanes that hold a trial."""
        return [i for i, occupant in enumerate(self._occupants) if occupant is not None]

    def occupant(self, index: int) -> tuple[Run, Progress]:
        """The run in a lane and its progress."""
        occupant = self._occupant(index)
        return occupant.run, occupant.progress

    def round(self) -> list[EpochReport]:
        """Train each lane that has work some steps further; gives reports of epochs that ended."""
        with self.stopwatch.during("feeding"), jax.profiler.TraceAnnotation("round"):
            return self._round()

    def _round(self) -> list[EpochReport]:
        counts = self._counts()

        def train() -> tuple[Any, float]:  # a wait for its begin is not counted
            start = time.monotonic()
            return self._train(counts), time.monotonic() - start

        (result, seconds), joules = self._meter.counted(self, train)
        parts = {
            o.run: int(count) * o.epoch_shape.parts
            for o, count in zip(self._occupants, counts, strict=True)
            if o is not None and count
        }
        each = seconds / sum(parts.values())
        self.seconds = {run: each * count for run, count in parts.items()}
        self.joules = {run: joules * count / sum(parts.values()) for run, count in parts.items()}
        # The latest time decides the length of the next round; later studies use the minimum.
        self._part_seconds = each
        self.part_seconds[self._program] = min(each, self.part_seconds.get(self._program, each))

        reports = []
        for i, occupant in enumerate(self._occupants):
            if occupant is None or counts[i] == 0:
                continue
            occupant.advance(int(counts[i]))
            self.epochs_trained += int(counts[i]) / occupant.epoch_shape.steps
            if result.has_ended_epoch[i]:
                values, trouble = self._metrics(result.tally, i)
                occupant.losses.append(values.get("loss", math.nan))
                if result.train_loss is not None:
                    values["train_loss"] = float(result.train_loss[i])
                if result.norms is not None:
                    values |= self._task.named_norms(result.norms[i])
                costs = self._bytes(i) if occupant.epoch >= occupant.timed_epoch else {}
                if occupant.is_timed and occupant.epoch == occupant.timed_epoch:
                    device = devices_of(self.place)[0]
                    with self.stopwatch.during("compiling"):
                        costs["latency_ms"] = latency_ms(occupant.training, self._data, device)
                reports.append(EpochReport(occupant.run, occupant.epoch, values, costs, trouble))
                if not is_finite(values):
                    occupant.to_epoch = occupant.epoch  # diverged: train it no further
        return reports

    def _bytes(self, index: int) -> dict[str, float]:
        """The bytes of a lane's model, if its weights decide them."""
        program, training = self._program, self._occupant(index).training
        if not isinstance(program, Program) or not is_sparse(program):
            return {}
        return {"model_bytes": float(model_bytes(program, training, self._take(index)))}

    def _metrics(self, tally: Tally, index: int) -> tuple[dict[str, float], CodeError | None]:
        """The metrics of a lane, and the error of one of the user's own, which is then NaN."""
        scores = None if tally.scores is None else tally.scores[index]
        data = self._fold(self._occupant(index).run) or self._data
        split, sums = data.validation, tally.sums[index]
        try:
            return self._task.metrics(data, split, sums, scores), None
        except MetricError as error:
            known = self._task.metrics(data, split, sums, None)
            return known | dict.fromkeys(error.names, math.nan), error

    def _train(self, counts: np.ndarray) -> Any:
        knobs = np.zeros((len(counts), len(self._program.knobs)), np.float32)
        for i, occupant in enumerate(self._occupants):
            if occupant is not None and counts[i]:
                knobs[i] = occupant.knobs_at(occupant.epoch)
        data, feed = self._inputs(counts)
        start = time.monotonic()
        with self.stopwatch.during("training"):
            self._lanes, result = self._operations.round(self._lanes, data, knobs, feed, counts)
            result = jax.device_get(result)
        if self._operations.evaluate is None:
            share = self._share_of_evaluating(counts, result.has_ended_epoch)
            self.stopwatch.shift(share * (time.monotonic() - start), "training", "evaluating")
            return result
        if not result.has_ended_epoch.any():
            return result
        with self.stopwatch.during("evaluating"):
            tally = over_pieces(
                lambda sums, rows: self._operations.evaluate(
                    self._lanes, knobs, rows, sums, result.has_ended_epoch
                ),
                result.tally.sums,
                self._data.validation,
                sharding(self.place, is_of_lanes=False),
                self._budget,
            )
            return result._replace(tally=tally)

    def _share_of_evaluating(self, counts: np.ndarray, has_ended_epoch: np.ndarray) -> float:
        """The estimated share of evaluation in a round, by the passes of rows through the model.

        Training and evaluation are one compiled call, so that they cannot be timed apart.
        """
        passes = int(has_ended_epoch.sum()) * len(self._data.validation)
        rows = sum(
            int(count) * occupant.epoch_shape.rows
            for count, occupant in zip(counts, self._occupants, strict=True)
            if occupant is not None
        )
        return passes / (passes + rows * _PASSES_OF_A_STEP)

    def _inputs(self, counts: np.ndarray) -> tuple[DeviceData, Batch]:
        """The data of a round, and the feed of each lane."""
        if self._stream is not None:
            most = self._program.order_shape[0]
            data, feed = self._stream.inputs(self._courses(), counts, most)
            same = self._task.constants(self._data).items()
            each = {name: np.stack([array] * len(counts)) for name, array in same}
            return data, {**feed, **each}
        feed = {
            name: np.zeros((len(counts), *shape.shape), shape.dtype)
            for name, shape in self._task.feed_shapes(is_chunked=False).items()
        }
        losses = jax.device_get(self._task.row_losses(self._lanes))
        for i, occupant in enumerate(self._occupants):
            if occupant is not None and counts[i]:
                own = occupant.training, occupant.epoch, self._fold(occupant.run) or self._data
                kept = None if losses is None else losses[i]
                for name, drawn in self._task.feed(*own, kept).items():
                    feed[name][i] = drawn
        return self._copies.of(self._data, self._budget, is_whole=self._task.is_whole), feed

    def _courses(self) -> list[Course | None]:
        return [None if o is None else o.course for o in self._occupants]

    def _counts(self) -> np.ndarray:
        """The steps of each lane in the next, short round: none beyond the end of its epoch."""
        left = np.zeros(len(self._occupants), np.int32)
        for i, o in enumerate(self._occupants):
            if o is not None and o.has_work:
                left[i] = o.epoch_shape.steps - o.progress.step
        if self._stream is not None:
            left = np.minimum(left, self._stream.limit(self._courses()))
        seconds = self._part_seconds
        budget = _FIRST_PARTS if seconds is None else int(_ROUND_SECONDS / seconds)
        if self._operations.plan.form == "vmap":
            each = max(1, budget // int(np.count_nonzero(left)))
            together = min(each, int(left[left > 0].min()))
            return np.where(left > 0, together, 0).astype(np.int32)
        # Lanes train one after the other, those closest to the end of an epoch first, so that
        # results come early.
        counts = np.zeros_like(left)
        waiting = [i for i, steps in enumerate(left) if steps]
        for i in sorted(waiting, key=lambda i: (left[i], self._occupant(i).progress, i)):
            parts = self._occupant(i).epoch_shape.parts
            counts[i] = min(int(left[i]), max(1, budget // parts))
            budget -= int(counts[i]) * parts
            if budget <= 0:
                break
        return counts

    def _device_data(self, program: AnyProgram, plan: Plan, data: DataSet) -> DeviceData:
        """The data as the program takes them: copied to the device whole, or streamed.

        Raises:
            DeviceError: if the budget is too small to stream them.
        """
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        if not isinstance(program, Program):
            self._budget = None
            return self._copies.of(data, None, is_whole=True)
        self._budget = budget_bytes(program.template.data, devices_of(self.place)[0])
        placement = placement_of(data, program.micro_batch, program.most_parts, self._budget)
        if placement.train is None:
            return self._copies.of(data, self._budget, is_whole=False)
        check_techniques(program, is_streamed=True)
        self._copies.keep_only(None)
        whole = sharding(self.place, is_of_lanes=False)
        self._stream = Stream(
            data,
            self._task.order,
            program.micro_batch,
            placement,
            whole,
            together=plan.form == "vmap",
        )
        return self._stream.shapes

    def _fold(self, run: Run) -> DataSet | None:
        """The data set of a run's fold; None without folds."""
        return self._data.folds[run.fold] if self._data.folds else None

    def _occupant(self, index: int) -> Occupant:
        occupant = self._occupants[index]
        assert occupant is not None, f"lane {index} is empty"
        return occupant


def _held_by(arrays: Any, device: int) -> Any:
    """The part of arrays over devices, `[devices, ...]`, that one device holds, `[1, ...]`."""

    def part(array: jax.Array) -> jax.Array:
        return next(s.data for s in array.addressable_shards if s.index[0].start == device)

    return jax.tree.map(part, arrays)
