"""What a driver and an executor say to each other: orders down; reports, states and losses up.

A message holds values that could go to another process: it names data by reference, and a state is
opaque. Only the executor that made a state, or another of its kind, reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from hpo.engine.pools.occupant import Changes, EpochReport
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.stopwatch import Clock
from hpo.engine.task_program import AnyProgram
from hpo.spec.experiment import Training
from hpo.spec.sections.data import DataSpec
from hpo.trial import HParams, Run

# The state of a run as named arrays. The driver keeps and stores it, and never looks into it.
Arrays: TypeAlias = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class DataReference:
    """The name of a data set: how to read it, and the fingerprint of what was read.

    Both say nothing for a training without data.
    """

    spec: DataSpec | None = field(
        hash=False
    )  # which takes long, and data differ by the fingerprint
    fingerprint: str


@dataclass(frozen=True)
class Load:
    """Change to another program, or other data; every lane is then empty."""

    program: AnyProgram
    plans: Plans
    data: DataReference


@dataclass(frozen=True)
class Put:
    """Train a run up to `to_epoch`, from `state` or, for None, from the start."""

    lane: int
    run: Run
    training: Training
    knobs: np.ndarray
    state: State | None
    to_epoch: int
    changes: Changes = ()
    is_timed: bool = False  # whether its model is to be timed after its last epoch
    losses: tuple[float, ...] = ()  # on the validation split, in the epochs before `state`


@dataclass(frozen=True)
class Copy:
    """Let a waiting run go on from the state of the lane `source`, with these knobs."""

    lane: int
    source: int
    knobs: np.ndarray
    changes: Changes


@dataclass(frozen=True)
class Extend:
    """Let the run in a lane train on."""

    lane: int
    to_epoch: int


@dataclass(frozen=True)
class Take:
    """Read the state of a lane and empty it."""

    lane: int


@dataclass(frozen=True)
class Clear:
    """Empty a lane whose run has ended."""

    lane: int


@dataclass(frozen=True)
class Snapshot:
    """Read the state of every occupied lane and leave it there."""


Order: TypeAlias = Load | Put | Copy | Extend | Take | Clear | Snapshot


@dataclass(frozen=True)
class Loaded:
    """A pool has its program and runs it by `plan`, which may have fewer lanes than expected."""

    pool: int
    program: AnyProgram
    plan: Plan


@dataclass(frozen=True)
class Reported:
    """A round: the epochs that ended in it, and how many it trained, parts of epochs included.

    `seconds` is the time of the round that each run took, and `joules` its energy.
    """

    pool: int
    reports: tuple[EpochReport, ...]
    epochs: float
    seconds: Mapping[Run, float] = field(default_factory=dict)
    joules: Mapping[Run, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Drew:
    """A run drew values that its space lacks."""

    pool: int
    run: Run
    values: HParams


@dataclass(frozen=True)
class State:
    """The state of a run after `epoch` whole epochs and `step` steps of the next one."""

    run: Run
    epoch: int
    step: int
    arrays: Arrays

    @property
    def progress(self) -> tuple[int, int]:
        """How far the run has trained: (epoch, step), which sort in the order of training."""
        return self.epoch, self.step


@dataclass(frozen=True)
class Taken:
    """States read for `Take`, which left the pool, or for `Snapshot`, which did not."""

    pool: int
    states: tuple[State, ...]
    is_snapshot: bool


@dataclass(frozen=True)
class Refused:
    """Runs without a lane: the pool has fewer lanes than expected, or ran out of memory."""

    pool: int
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class TooLarge:
    """No lane of a program fits the device, and why; the pool has no lanes."""

    pool: int
    program: AnyProgram
    reason: str


@dataclass(frozen=True)
class Lost:
    """The worker of a pool is gone, with the states in its lanes; the pool takes no more orders."""

    pool: int
    reason: str


@dataclass(frozen=True)
class Failed:
    """A pool has stopped by an error, which ends the study."""

    pool: int
    error: BaseException


Message: TypeAlias = Loaded | Reported | Drew | Taken | Refused | TooLarge | Lost | Failed


class ProgramTimes(NamedTuple):
    """How many programs an executor has compiled, and what compiling and running them took.

    `compile_seconds` is given by program, `part_seconds` for each program of each pool: the
    shortest time of a micro-batch.
    """

    compiled: int
    compile_seconds: tuple[tuple[AnyProgram, float], ...]
    part_seconds: tuple[tuple[AnyProgram, float], ...]


class Executor(Protocol):
    """Runs pools somewhere: a pool is a program on some data, trained in lanes."""

    pools: int

    def send(self, pool: int, orders: Sequence[Order]) -> None:
        """Orders for a pool, carried out in this order between two of its rounds."""
        ...

    def receive(self, timeout_seconds: float) -> list[Message]:
        """Messages of the pools: waits for the first one, then gives all there are."""
        ...

    def clocks(self) -> Mapping[str, Clock]:
        """Where the time of each pool went, by the pool's name."""
        ...

    def program_times(self) -> ProgramTimes:
        """What compiling and running programs took so far."""
        ...

    def compiling(self) -> int:
        """How many pools compile a program at this moment."""
        ...

    def close(self, look: Callable[[], None] | None = None) -> None:
        """Stop the pools after their present round, calling `look` about ten times a second.

        A pool that compiles is left behind, and gives back the states that it has not put in yet.
        """
        ...
