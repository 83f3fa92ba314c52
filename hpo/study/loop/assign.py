"""Which job goes to which lane: a pure function of the pools and of the work that may run.

A pool runs one program. It is kept on its program while that has work, and changes only when none
of its lanes is at work any more: its waiting trials are then taken out, as ordinary paused trials.
An idle pool takes up a program that no other pool has before it helps with one that is under way,
so that compiling one program goes on beside training another; and when no job waits, it is given
half of the trials that the busiest pool has in training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from hpo.trial import Job


@dataclass(frozen=True, slots=True)
class Occupant:
    """The trial in a lane, and whether it trains; one that does not waits for its next job."""

    trial: int
    is_training: bool


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool's program, if any, and its lanes; None for an empty lane."""

    program: Hashable | None
    lanes: tuple[Occupant | None, ...] = ()


@dataclass(slots=True)
class Assignment:
    """What one pool is to do next, in this order.

    `takes` are lanes whose trials are taken out: waiting ones to make room, training ones to go on
    in another pool. `loads` is the program to change to (all lanes then start empty). `extends` and
    `puts` pair a lane with the job it goes on with.
    """

    takes: list[int] = field(default_factory=list)
    loads: Hashable | None = None
    extends: list[tuple[int, Job]] = field(default_factory=list)
    puts: list[tuple[int, Job]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.loads is not None or self.takes or self.extends or self.puts)


def assign(
    pools: Sequence[PoolView],
    jobs: Sequence[Job],
    program_of: Callable[[int], Hashable],
    lanes_of: Callable[[Hashable], int],
) -> list[Assignment]:
    """What each pool is to do so that no device idles while a job could run on it.

    `jobs` come in order of priority and may name trials that are in training already: those are
    left alone. `program_of` gives a trial's program, `lanes_of` how many lanes a pool of it has.
    """
    answers = [Assignment() for _ in pools]
    where = {
        occupant.trial: (i, lane)
        for i, pool in enumerate(pools)
        for lane, occupant in enumerate(pool.lanes)
        if occupant is not None
    }
    busy = [sum(o is not None and o.is_training for o in pool.lanes) for pool in pools]
    waiting: list[Job] = []
    for job in jobs:
        if job.trial not in where:
            waiting.append(job)
            continue
        i, lane = where[job.trial]
        occupant = pools[i].lanes[lane]
        if occupant is not None and not occupant.is_training:
            answers[i].extends.append((lane, job))
            busy[i] += 1

    programs = [pool.program for pool in pools]
    demand = Counter(program_of(job.trial) for job in waiting)
    for i in range(len(pools)):
        if busy[i] == 0:
            programs[i] = _next_program(i, programs, busy, demand)
            if programs[i] != pools[i].program:
                answers[i].loads = programs[i]

    free = [_free_lanes(pools[i], answers[i], lanes_of) for i in range(len(pools))]
    for job in waiting:
        program = program_of(job.trial)
        able = [i for i in range(len(pools)) if programs[i] == program and free[i]]
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
    """Have half of the busiest pool's trials taken out for each pool that has nothing to do."""
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


def _next_program(
    i: int, programs: Sequence[Hashable | None], busy: Sequence[int], demand: Counter[Hashable]
) -> Hashable | None:
    """The program that idle pool `i` should run: one that nobody runs, its own, or one to share."""
    others = Counter(p for j, p in enumerate(programs) if j != i and p is not None)
    if programs[i] is not None and demand[programs[i]] and not others[programs[i]]:
        return programs[i]
    for program in demand:
        if not others[program]:
            return program
    for program in [programs[i], *demand]:
        at_work = sum(n for j, n in enumerate(busy) if j != i and programs[j] == program)
        if demand[program] and at_work + demand[program] > others[program]:
            return program
    return programs[i]


def _free_lanes(
    pool: PoolView, answer: Assignment, lanes_of: Callable[[Hashable], int]
) -> list[int]:
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
