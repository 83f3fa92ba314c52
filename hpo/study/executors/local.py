"""The local executor: pools of this process, each in a thread of its own.

A pool's thread trains for as long as one of its lanes has work and looks for orders between
rounds, so that sampling and storing happen while the devices train.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax

from hpo.data.dataset import DataSet
from hpo.engine.energy import Meter
from hpo.engine.mesh import Place
from hpo.engine.pools.pool import Pool
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.executables import use_jax_cache
from hpo.engine.programs.memory import is_exhausted
from hpo.engine.stopwatch import Clock
from hpo.engine.task_program import AnyProgram
from hpo.engine.training.lane import lane_from_arrays, lane_to_arrays
from hpo.engine.training.task import task_of
from hpo.errors import DeviceError
from hpo.study.executors.messages import (
    Clear,
    Copy,
    DataReference,
    Extend,
    Failed,
    Load,
    Loaded,
    Message,
    Order,
    ProgramTimes,
    Put,
    Refused,
    Reported,
    Snapshot,
    State,
    Take,
    Taken,
    TooLarge,
)
from hpo.study.signals import leave_behind
from hpo.trial import Run

_LOG = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1
# How long a compile may still take when an executor closes: it cannot be interrupted.
_COMPILE_SECONDS = 0.5

# Gives the data set that a message refers to.
DataOf = Callable[[DataReference], DataSet]


def local_executor(
    places: Sequence[Place],
    cache: Path | None,
    data_of: DataOf,
    meter: Meter | None = None,
) -> LocalExecutor:
    """An executor with a pool at each of these places; compiled programs are kept in `cache`.

    The `meter` measures the energy that the pools use.
    """
    use_jax_cache(cache)
    compiler = Compiler(cache)
    return LocalExecutor([Pool(place, compiler, meter) for place in places], compiler, data_of)


class LocalExecutor:
    """Pools of this process, each in a thread of its own."""

    def __init__(self, pools: Sequence[Pool], compiler: Compiler, data_of: DataOf) -> None:
        self.pools = len(pools)
        self._pools, self._compiler, self._data_of = pools, compiler, data_of
        self._messages: queue.Queue[Message] = queue.Queue()
        self._orders: list[queue.Queue[Order | None]] = [queue.Queue() for _ in pools]
        self._left: set[int] = set()  # pools that still compiled when this closed
        self._threads = [
            threading.Thread(target=self._run, args=(i, pool), name=f"pool-{i}", daemon=True)
            for i, pool in enumerate(pools)
        ]
        for thread in self._threads:
            thread.start()

    def send(self, pool: int, orders: Sequence[Order]) -> None:
        """Orders for a pool, carried out in this order between two of its rounds."""
        for order in orders:
            self._orders[pool].put(order)

    def receive(self, timeout_seconds: float) -> list[Message]:
        """Messages of the pools: waits for the first one, then gives all there are."""
        try:
            messages = [self._messages.get(timeout=timeout_seconds)]
        except queue.Empty:
            return []
        while not self._messages.empty():
            messages.append(self._messages.get())
        return messages

    def clocks(self) -> Mapping[str, Clock]:
        """Where the time of each pool went, by the pool's name."""
        return {f"pool {i}": pool.stopwatch.read() for i, pool in enumerate(self._pools)}

    def program_times(self) -> ProgramTimes:
        """What compiling and running programs took so far."""
        return ProgramTimes(
            self._compiler.programs,
            tuple(self._compiler.seconds.items()),
            tuple(item for pool in self._pools for item in list(pool.part_seconds.items())),
        )

    def compiling(self) -> int:
        """How many pools compile a program at this moment."""
        return sum(map(_is_compiling, self._pools))

    def close(self, look: Callable[[], None] | None = None) -> None:
        """Stop the pools after their present round; one that compiles is left behind."""
        for orders in self._orders:
            orders.put(None)
        patience = time.monotonic() + _COMPILE_SECONDS
        waiting = {i: t for i, t in enumerate(self._threads) if i not in self._left}
        while waiting := {i: thread for i, thread in waiting.items() if thread.is_alive()}:
            next(iter(waiting.values())).join(_LOOK_SECONDS)
            if look is not None:
                look()
            if time.monotonic() < patience:
                continue
            for i in [i for i in waiting if _is_compiling(self._pools[i])]:
                self._leave(i)
                del waiting[i]

    def _leave(self, i: int) -> None:
        """Leave a pool behind, and give back the states that wait for its program."""
        self._left.add(i)
        leave_behind(self._threads[i])
        orders = self._orders[i]
        with suppress(queue.Empty):
            while True:
                order = orders.get_nowait()
                if isinstance(order, Put) and order.state is not None:
                    self._messages.put(Taken(i, (order.state,), is_snapshot=False))
        orders.put(None)

    def _run(self, i: int, pool: Pool) -> None:
        orders = self._orders[i]
        try:
            while True:
                while not pool.has_work or not orders.empty():
                    order = orders.get()
                    if order is None:
                        return
                    self._tell(_attempt(i, pool, order, self._data_of))
                self._tell(_attempt(i, pool, None, self._data_of))
        except BaseException as error:  # the driver's thread raises it
            self._messages.put(Failed(i, error))

    def _tell(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._messages.put(message)


def _attempt(i: int, pool: Pool, order: Order | None, data_of: DataOf) -> list[Message]:
    """Obey an order, or train a round for None; where memory runs out, halve the lanes."""
    try:
        return _round(i, pool) if order is None else _obey(i, pool, order, data_of)
    except jax.errors.JaxRuntimeError as error:
        if not is_exhausted(error):
            raise
        return _go_on_with_half(i, pool, order)


def _go_on_with_half(i: int, pool: Pool, order: Order | None) -> list[Message]:
    """The lanes may be gone, so their runs go on from their last checkpoint or their start."""
    lost = [pool.occupant(lane)[0] for lane in pool.occupied()]
    if isinstance(order, Put):
        lost.append(order.run)
    messages: list[Message] = [Taken(i, (), is_snapshot=True)] if order == Snapshot() else []
    program = pool.program
    try:
        plan = pool.halve()
    except DeviceError as error:
        return [*messages, Refused(i, tuple(lost)), TooLarge(i, program, str(error))]
    return [*messages, Loaded(i, program, plan), Refused(i, tuple(lost))]


def _round(i: int, pool: Pool) -> list[Message]:
    before = pool.epochs_trained
    reports = tuple(pool.round())
    return [Reported(i, reports, pool.epochs_trained - before, pool.seconds, pool.joules)]


def _obey(i: int, pool: Pool, order: Order, data_of: DataOf) -> list[Message]:
    match order:
        case Load(program, plans, reference):
            try:
                return [Loaded(i, program, pool.load(program, plans, data_of(reference)))]
            except DeviceError as error:
                return [TooLarge(i, program, str(error))]
        case Put() as put:
            if put.lane >= pool.lane_count:
                return [Refused(i, (put.run,))]
            pool.put(
                put.lane,
                put.run,
                put.training,
                put.knobs,
                _lane(pool.program, put.run, put.state),
                put.to_epoch,
                put.changes,
                put.is_timed,
                put.losses,
            )
        case Take(lane) | Clear(lane) | Extend(lane) | Copy(lane) if lane not in pool.occupied():
            pass  # the lane of a run that was refused
        case Copy(source=source) if source not in pool.occupied():
            pass  # likewise: both runs were refused
        case Copy(lane, source, knobs, changes):
            pool.copy(source, lane, knobs, changes)
        case Extend(lane, to_epoch):
            pool.extend(lane, to_epoch)
        case Take(lane):
            state = _state(pool, lane)
            pool.clear(lane)
            return [Taken(i, (state,), is_snapshot=False)]
        case Clear(lane):
            pool.clear(lane)
        case Snapshot():
            states = tuple(_state(pool, lane) for lane in pool.occupied())
            return [Taken(i, states, is_snapshot=True)]
    return []


def _is_compiling(pool: Pool) -> bool:
    return pool.stopwatch.activity == "compiling"


def _state(pool: Pool, lane: int) -> State:
    run, (epoch, step) = pool.occupant(lane)
    return State(run, epoch, step, lane_to_arrays(pool.take(lane)))


def _lane(program: AnyProgram, run: Run, state: State | None) -> Any | None:
    """The lane that a state holds; None, with a logged reason, where it has another layout."""
    if state is None:
        return None
    lane = lane_from_arrays(task_of(program).shapes(), state.arrays)
    if lane is None:
        _LOG.warning(
            "trial %s: its checkpoint has the layout of another version; it is trained again from"
            " the start.",
            run.key,
        )
    return lane
