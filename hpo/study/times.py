"""Measures where the time of a run goes, and notes it in the log from time to time.

The objects that the driver calls are wrapped, so that neither they nor the driver know the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo.engine.stopwatch import Clock, Stopwatch
from hpo.search.sampler import Sampler
from hpo.study.log.events import Happening, StudyState, Times
from hpo.study.storage.journal import Journal
from hpo.trial import HParam, Trial

if TYPE_CHECKING:
    from hpo.study.executors.messages import Executor, Message, Order, ProgramTimes  # imports JAX

# The activities of a run's threads, in words.
ACTIVITIES = {
    "start_up": "start-up: imports, data, database",
    "compiling": "compiling, loading programs",
    "training": "training",
    "evaluating": "evaluating (estimated)",
    "moving": "moving lanes in and out",
    "feeding": "feeding rounds, reading results",
    "sampling": "sampling",
    "deciding": "scheduling, assigning",
    "storing": "storing",
    "checkpoints": "writing checkpoints",
    "profiling": "writing the profile",
    "waiting": "waiting for the pools",
    "idle": "idle",
}
# Times are noted after some seconds first, then more and more rarely. So a killed run has them too,
# and the log of a long study does not fill with them.
_FIRST_SECONDS = 5.0
_SHARE = 0.1


class RunTimes:
    """The clocks of a run's threads; `began` is the start of the process."""

    def __init__(self, began: float) -> None:
        self.driver = Stopwatch("start_up", began)
        self._began = began
        self._others: list[Callable[[], Mapping[str, Clock]]] = []
        self._due = began + _FIRST_SECONDS

    def follow(self, clocks: Callable[[], Mapping[str, Clock]]) -> None:
        """Read other threads' clocks too; the time before a thread began counts as start-up."""
        self._others.append(clocks)

    def keep(self, journal: Journal) -> None:
        """Note the times in the log, if that is due."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + max(_FIRST_SECONDS, _SHARE * (now - self._began))
            journal.record(self.so_far())

    def so_far(self) -> Times:
        """The times up to now, to the millisecond."""
        clocks: dict[str, Clock] = {}
        for read in self._others:
            clocks |= read()
        threads = {}
        for name, clock in {**clocks, "driver": self.driver.read()}.items():
            seconds = dict(clock.seconds)
            seconds["start_up"] = seconds.get("start_up", 0.0) + clock.began - self._began
            threads[name] = {a: round(seconds[a], 3) for a in ACTIVITIES if seconds.get(a)}
        return Times(threads)


@dataclass(frozen=True)
class TimedSampler:
    """A sampler whose time counts as sampling."""

    sampler: Sampler
    stopwatch: Stopwatch

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """The sampler's proposals."""
        with self.stopwatch.during("sampling"):
            return self.sampler.ask(trials, n)


class TimedJournal:
    """A journal whose transactions count as storing."""

    def __init__(self, journal: Journal, stopwatch: Stopwatch) -> None:
        self.state: StudyState = journal.state
        self._journal, self._stopwatch = journal, stopwatch

    def record(self, what: Happening, trial: int | None = None) -> None:
        """Apply an event; the next `flush` stores it."""
        self._journal.record(what, trial)

    def flush(self) -> None:
        """Store the new events."""
        with self._stopwatch.during("storing"):
            self._journal.flush()


class TimedExecutor:
    """An executor; the time spent on its messages counts as waiting."""

    def __init__(self, executor: Executor, stopwatch: Stopwatch) -> None:
        self.pools = executor.pools
        self._executor, self._stopwatch = executor, stopwatch

    def send(self, pool: int, orders: Sequence[Order]) -> None:
        """Orders for a pool."""
        self._executor.send(pool, orders)

    def receive(self, timeout_seconds: float) -> list[Message]:
        """Messages of the pools."""
        with self._stopwatch.during("waiting"):
            return self._executor.receive(timeout_seconds)

    def clocks(self) -> Mapping[str, Clock]:
        """Where the time of each pool went, by the pool's name."""
        return self._executor.clocks()

    def program_times(self) -> ProgramTimes:
        """What compiling and running programs took so far."""
        return self._executor.program_times()

    def compiling(self) -> int:
        """How many pools compile a program at this moment."""
        return self._executor.compiling()

    def close(self, look: Callable[[], None] | None = None) -> None:
        """Stop the pools after their present round."""
        with self._stopwatch.during("waiting"):
            self._executor.close(look)
