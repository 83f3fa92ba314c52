"""An executor without an engine, for tests: epochs cost nothing, and lanes train in any order."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hpo.engine.pools.occupant import EpochReport
from hpo.engine.program import Program
from hpo.engine.programs.plans import Plan
from hpo.engine.stopwatch import Clock
from hpo.study.executors.messages import (
    Clear,
    Copy,
    DataReference,
    Extend,
    Load,
    Loaded,
    Lost,
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
)
from hpo.trial import Run

# The metrics of an epoch of a trial, and its weight after that, from its weight before.
Learn = Callable[[Program, DataReference, Put, int, float], tuple[dict[str, float], float]]


@dataclass
class _Lane:
    put: Put
    epoch: int
    to_epoch: int
    weight: float

    @property
    def has_work(self) -> bool:
        return self.epoch < self.to_epoch


@dataclass
class _Pool:
    setup: tuple[Program, DataReference] | None = None
    width: int = 0
    lanes: dict[int, _Lane] = field(default_factory=dict)
    is_lost: bool = False


class InMemoryExecutor:
    """Pools that train an epoch of one lane a round, in an order that `rng` picks.

    No pool has more than `fits` lanes. `trained` lists every epoch as (run, epoch). `loads`
    counts how often a pool changed its program or its data.
    """

    def __init__(self, pools: int, rng: random.Random, learn: Learn, fits: int = 100) -> None:
        self.pools = pools
        self.trained: list[tuple[Run, int]] = []
        self.loads = 0
        self._rng, self._learn, self._fits = rng, learn, fits
        self._pools = [_Pool() for _ in range(pools)]
        self._messages: list[Message] = []

    def send(self, pool: int, orders: Sequence[Order]) -> None:
        assert not (orders and self._pools[pool].is_lost), "a lost worker gets no orders"
        for order in orders:
            self._messages += self._obey(pool, self._pools[pool], order)

    def receive(self, timeout_seconds: float) -> list[Message]:
        at_work = [
            (i, lane)
            for i, pool in enumerate(self._pools)
            for lane in pool.lanes.values()
            if lane.has_work
        ]
        if at_work:
            i, lane = self._rng.choice(at_work)
            self._messages.append(Reported(i, (self._train(self._pools[i], lane),), 1.0))
        messages, self._messages = self._messages, []
        return messages

    def clocks(self) -> Mapping[str, Clock]:
        return {f"pool {i}": Clock(0.0, {"idle": 1.0}) for i in range(self.pools)}

    def program_times(self) -> ProgramTimes:
        return ProgramTimes(0, (), ())

    def compiling(self) -> int:
        return 0

    def close(self, look: Callable[[], None] | None = None) -> None:
        """Every order has been carried out by now."""

    def fail(self, message: Message) -> None:
        """Have a pool send this message."""
        self._messages.append(message)

    def lose(self, pool: int) -> None:
        """Let a worker vanish, with its lanes and what it has not said yet."""
        self._messages = [message for message in self._messages if message.pool != pool]
        self._messages.append(Lost(pool, "the machine is off"))
        self._pools[pool] = _Pool(is_lost=True)

    def _train(self, pool: _Pool, lane: _Lane) -> EpochReport:
        assert pool.setup is not None
        lane.epoch += 1
        metrics, lane.weight = self._learn(*pool.setup, lane.put, lane.epoch, lane.weight)
        self.trained.append((lane.put.run, lane.epoch))
        if not np.isfinite(list(metrics.values())).all():
            lane.to_epoch = lane.epoch
        return EpochReport(lane.put.run, lane.epoch, metrics)

    def _obey(self, i: int, pool: _Pool, order: Order) -> list[Message]:
        lanes = pool.lanes
        match order:
            case Load(program, plans, data):
                assert not any(lane.has_work for lane in lanes.values())
                pool.setup, pool.width = (program, data), min(plans.usual.lanes, self._fits)
                lanes.clear()
                self.loads += 1
                return [Loaded(i, program, Plan(plans.usual.form, pool.width))]
            case Put(lane=lane) as put:
                if lane >= pool.width:
                    return [Refused(i, (put.run,))]
                assert lane not in lanes, "a lane is taken or cleared before it is filled"
                lanes[lane] = _lane(put)
            case Take(lane) | Clear(lane) | Extend(lane) | Copy(lane) if lane not in lanes:
                pass
            case Copy(source=source) if source not in lanes:
                pass
            case Copy(lane, source, knobs, changes):
                own, other = lanes[lane], lanes[source]
                put = replace(other.put, run=own.put.run, knobs=knobs, changes=changes)
                lanes[lane] = replace(other, put=put, to_epoch=other.epoch)
            case Extend(lane, to_epoch):
                lanes[lane].to_epoch = to_epoch
            case Take(lane):
                return [Taken(i, (_state(lanes.pop(lane)),), is_snapshot=False)]
            case Clear(lane):
                del lanes[lane]
            case Snapshot():
                return [Taken(i, tuple(map(_state, lanes.values())), is_snapshot=True)]
        return []


def _lane(put: Put) -> _Lane:
    if put.state is None:
        return _Lane(put, 0, put.to_epoch, 0.0)
    arrays = put.state.arrays
    return _Lane(put, int(arrays["after"]), put.to_epoch, float(arrays["weight"]))


def _state(lane: _Lane) -> State:
    """Arrays that only this executor reads: the driver's own tests show that it does not."""
    arrays = {
        "after": np.array(lane.epoch, np.int32),
        "weight": np.array(lane.weight, np.float32),
    }
    return State(lane.put.run, lane.epoch, 0, arrays)
