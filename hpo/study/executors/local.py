"""Executors: what runs the lanes. Give one orders for its pools, get back messages.

A pool's thread trains for as long as one of its lanes has work and looks for orders between
rounds, so that sampling and storing happen while the devices train.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import jax
import numpy as np

from hpo.data.dataset import DataSet
from hpo.engine.pools.occupant import Changes, Report
from hpo.engine.pools.pool import Pool
from hpo.engine.program import Program
from hpo.engine.programs.memory import is_exhausted
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.training.lane import Lane
from hpo.errors import DeviceError
from hpo.spec.experiment import Training


@dataclass(frozen=True)
class Load:
    """Change to another program; every lane is then empty."""

    program: Program
    plans: Plans
    data: DataSet


@dataclass(frozen=True)
class Put:
    """Train a trial up to `to_epoch`, from `state` or, for None, from the start."""

    lane: int
    trial: int
    training: Training
    knobs: np.ndarray
    state: Lane | None
    to_epoch: int
    changes: Changes = ()
    is_timed: bool = False  # whether its model is to be timed after its last epoch


@dataclass(frozen=True)
class Copy:
    """Let a waiting trial go on from the state of the lane `source`, with these knobs."""

    lane: int
    source: int
    knobs: np.ndarray
    changes: Changes


@dataclass(frozen=True)
class Extend:
    """Let the trial in a lane train on."""

    lane: int
    to_epoch: int


@dataclass(frozen=True)
class Take:
    """Read the state of a lane and empty it."""

    lane: int


@dataclass(frozen=True)
class Clear:
    """Empty a lane whose trial has ended."""

    lane: int


@dataclass(frozen=True)
class Snapshot:
    """Read the state of every occupied lane and leave it there."""


Order: TypeAlias = Load | Put | Copy | Extend | Take | Clear | Snapshot


@dataclass(frozen=True)
class Loaded:
    """A pool has its program, to be run by `plan`, which may have fewer lanes than was thought."""

    pool: int
    program: Program
    plan: Plan


@dataclass(frozen=True)
class Reported:
    """A round: the epochs that ended in it, and how many it trained, parts of epochs included.

    `seconds` is the share of each trial in the time that it took.
    """

    pool: int
    reports: tuple[Report, ...]
    epochs: float
    seconds: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """The state of a trial: so many epochs, and in all so many steps, after its start."""

    trial: int
    epoch: int
    steps: int
    lane: Lane


@dataclass(frozen=True)
class Taken:
    """States read for `Take`, which left the pool, or for `Snapshot`, which did not."""

    pool: int
    states: tuple[State, ...]
    is_snapshot: bool


@dataclass(frozen=True)
class Refused:
    """Trials that have no lane in a pool: it has fewer than was thought, or has lost its memory."""

    pool: int
    trials: tuple[int, ...]


@dataclass(frozen=True)
class TooLarge:
    """No lane of a program fits the device, and why; the pool has no lanes."""

    pool: int
    program: Program
    reason: str


@dataclass(frozen=True)
class Failed:
    """A pool has stopped by an error."""

    pool: int
    error: BaseException


Message: TypeAlias = Loaded | Reported | Taken | Refused | TooLarge | Failed


class Executor(Protocol):
    """Runs pools somewhere."""

    pools: int

    def send(self, pool: int, orders: Sequence[Order]) -> None:
        """Orders for a pool, carried out in this order between two of its rounds."""
        ...

    def receive(self, timeout_seconds: float) -> list[Message]:
        """What the pools have to say: waits for the first message, then gives all there are."""
        ...

    def close(self) -> None:
        """Stop the pools after their present round."""
        ...


class LocalExecutor:
    """Pools of this process, each in a thread of its own."""

    def __init__(self, pools: Sequence[Pool]) -> None:
        self.pools = len(pools)
        self._messages: queue.Queue[Message] = queue.Queue()
        self._orders: list[queue.Queue[Order | None]] = [queue.Queue() for _ in pools]
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
        """What the pools have to say: waits for the first message, then gives all there are."""
        try:
            messages = [self._messages.get(timeout=timeout_seconds)]
        except queue.Empty:
            return []
        while not self._messages.empty():
            messages.append(self._messages.get())
        return messages

    def close(self) -> None:
        """Stop the pools after their present round."""
        for orders in self._orders:
            orders.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self, i: int, pool: Pool) -> None:
        orders = self._orders[i]
        try:
            while True:
                while not pool.has_work or not orders.empty():
                    order = orders.get()
                    if order is None:
                        return
                    self._tell(_attempt(i, pool, order))
                self._tell(_attempt(i, pool, None))
        except BaseException as error:  # handed to the driver's thread, which raises it
            self._messages.put(Failed(i, error))

    def _tell(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._messages.put(message)


def _attempt(i: int, pool: Pool, order: Order | None) -> list[Message]:
    """Obey an order, or train a round for None; with half the lanes from then on if memory ends."""
    try:
        return _round(i, pool) if order is None else _obey(i, pool, order)
    except jax.errors.JaxRuntimeError as error:
        if not is_exhausted(error):
            raise
        return _go_on_with_half(i, pool, order)


def _go_on_with_half(i: int, pool: Pool, order: Order | None) -> list[Message]:
    """The lanes may be gone, so their trials go on from their last checkpoint or their start."""
    lost = [pool.occupant(lane)[0] for lane in pool.occupied()]
    if isinstance(order, Put):
        lost.append(order.trial)
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
    return [Reported(i, reports, pool.epochs_trained - before, pool.seconds)]


def _obey(i: int, pool: Pool, order: Order) -> list[Message]:
    match order:
        case Load(program, plans, data):
            try:
                return [Loaded(i, program, pool.load(program, plans, data))]
            except DeviceError as error:
                return [TooLarge(i, program, str(error))]
        case Put() as put:
            if put.lane >= pool.lane_count:
                return [Refused(i, (put.trial,))]
            pool.put(
                put.lane,
                put.trial,
                put.training,
                put.knobs,
                put.state,
                put.to_epoch,
                put.changes,
                put.is_timed,
            )
        case Take(lane) | Clear(lane) | Extend(lane) | Copy(lane) if lane not in pool.occupied():
            pass  # the lane of a trial that was refused
        case Copy(source=source) if source not in pool.occupied():
            pass  # likewise: both of its trials have been refused
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


def _state(pool: Pool, lane: int) -> State:
    trial, epoch, steps = pool.occupant(lane)
    return State(trial, epoch, steps, pool.take(lane))
