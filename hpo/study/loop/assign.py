"""Which job goes to which lane: a pure function of the pools and of the work that may run.

A pool has one setup: a program and its data. It keeps that while there is work for it, and changes
only when none of its lanes trains: its waiting runs are then taken out and pause. An idle pool
takes up a setup that no other pool has before it helps with one that others train, so that one
program compiles beside the training of another. When no job waits, an idle pool is given half of
the runs that the busiest pool has in training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hpo.study.executors.messages import DataReference
from hpo.trial import Run, RunJob


class Setup(NamedTuple):
    """What a pool is loaded with: a program, by its label, and the data that its lanes train on."""

    program: str
    data: DataReference


@dataclass(frozen=True, slots=True)
class LaneView:
    """The run in a lane, and whether it trains; one that does not waits for its next job."""

    run: Run
    is_training: bool


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool's setup, if any, and its lanes; None for an empty lane."""

    setup: Setup | None
    lanes: tuple[LaneView | None, ...] = ()


@dataclass(slots=True)
class Assignment:
    """What one pool is to do next, in this order.

    `takes` are lanes whose runs are taken out: waiting ones to make room, training ones to go on
    in another pool. `loads` is the setup to change to (all lanes then start empty). `extends` and
    `puts` pair a lane with the job that it gets.
    """

    takes: list[int] = field(default_factory=list)
    loads: Setup | None = None
    extends: list[tuple[int, RunJob]] = field(default_factory=list)
    puts: list[tuple[int, RunJob]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.loads is not None or self.takes or self.extends or self.puts)


def assign(
    pools: Sequence[PoolView],
    jobs: Sequence[RunJob],
    setup_of: Callable[[Run], Setup],
    lanes_of: Callable[[Setup], int],
) -> list[Assignment]:
    """What each pool is to do so that no device idles while a job could run on it.

    `jobs` come in order of priority and may name runs that are in training already: those are
    left alone. `setup_of` gives the setup that a run needs, `lanes_of` how many lanes a pool with
    a setup has.
    """
    answers = [Assignment() for _ in pools]
    where = {
        view.run: (i, lane)
        for i, pool in enumerate(pools)
        for lane, view in enumerate(pool.lanes)
        if view is not None
    }
    busy = [sum(o is not None and o.is_training for o in pool.lanes) for pool in pools]
    waiting: list[RunJob] = []
    for job in jobs:
        if job.run not in where:
            waiting.append(job)
            continue
        i, lane = where[job.run]
        view = pools[i].lanes[lane]
        if view is not None and not view.is_training:
            answers[i].extends.append((lane, job))
            busy[i] += 1

    setups = [pool.setup for pool in pools]
    demand = Counter(setup_of(job.run) for job in waiting)
    for i in range(len(pools)):
        if busy[i] == 0:
            setups[i] = _next_setup(i, setups, busy, demand)
            if setups[i] != pools[i].setup:
                answers[i].loads = setups[i]

    free = [_free_lanes(pools[i], answers[i], lanes_of) for i in range(len(pools))]
    for job in waiting:
        setup = setup_of(job.run)
        able = [i for i in range(len(pools)) if setups[i] == setup and free[i]]
        if not able:
            continue
        i = min(able, key=lambda i: (busy[i], i))
        lane = free[i].pop(0)
        if answers[i].loads is None and pools[i].lanes[lane] is not None:
            answers[i].takes.append(lane)
        answers[i].puts.append((lane, job))
        busy[i] += 1

    for i, pool in enumerate(pools):
        if answers[i].loads is not None:
            if not answers[i].puts:
                answers[i].loads = None
            else:
                answers[i].takes = [n for n, o in enumerate(pool.lanes) if o is not None]
    _share(pools, answers, busy)
    return answers


def _share(pools: Sequence[PoolView], answers: Sequence[Assignment], busy: Sequence[int]) -> None:
    """Have half of the busiest pool's runs taken out for each pool that has nothing to do."""
    training = [
        [] if answer else [n for n, o in enumerate(pool.lanes) if o is not None and o.is_training]
        for pool, answer in zip(pools, answers, strict=True)
    ]
    for i in range(len(pools)):
        giver = max(range(len(pools)), key=lambda j: (len(training[j]), -j))
        if busy[i] == 0 and len(training[giver]) >= 2:
            half = len(training[giver]) // 2
            answers[giver].takes += training[giver][-half:]
            del training[giver][-half:]


def _next_setup(
    i: int, setups: Sequence[Setup | None], busy: Sequence[int], demand: Counter[Setup]
) -> Setup | None:
    """The setup that idle pool `i` should have: its own, one of no other pool, or one to share."""
    own = setups[i]
    others = Counter(setup for j, setup in enumerate(setups) if j != i and setup is not None)
    if own is not None and demand[own] and not others[own]:
        return own
    for setup in demand:
        if not others[setup]:
            return setup
    for setup in [*([] if own is None else [own]), *demand]:
        at_work = sum(n for j, n in enumerate(busy) if j != i and setups[j] == setup)
        if demand[setup] and at_work + demand[setup] > others[setup]:
            return setup
    return own


def _free_lanes(pool: PoolView, answer: Assignment, lanes_of: Callable[[Setup], int]) -> list[int]:
    """Lanes that a job may be put into, empty ones first."""
    if answer.loads is not None:
        return list(range(lanes_of(answer.loads)))
    extended = {lane for lane, _ in answer.extends}
    empty = [n for n, o in enumerate(pool.lanes) if o is None]
    parked = [
        n
        for n, o in enumerate(pool.lanes)
        if o is not None and not o.is_training and n not in extended
    ]
    return empty + parked
