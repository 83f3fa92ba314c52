"""Where the time of a run goes: kept while it runs, and stored in the log now and then.

What the driver calls is wrapped, so that neither it nor what it calls knows of the clock.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from hpo.engine.stopwatch import Stopwatch
from hpo.search.sampler import Sampler
from hpo.study.executors.local import Executor, Message, Order
from hpo.study.log.events import Happening, StudyState, Times
from hpo.study.storage.journal import Journal
from hpo.trial import HParam, Trial

# What the threads of a run do, in words.
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
# A run that is killed tells its time up to here: after some seconds first, then more and more
# rarely, so that a long study's log does not fill with it.
_FIRST_SECONDS = 5.0
_SHARE = 0.1


class RunTimes:
    """The clocks of a run's threads, the driver's among them; `began` is when its process did."""

    def __init__(self, began: float) -> None:
        self.driver = Stopwatch("start_up", began)
        self._began = began
        self._others: dict[str, Stopwatch] = {}
        self._due = began + _FIRST_SECONDS

    def follow(self, thread: str, stopwatch: Stopwatch) -> None:
        """Tell of another thread; until it began, it took part in the start."""
        self._others[thread] = stopwatch

    def keep(self, journal: Journal) -> None:
        """Note the times in the log, if it is time for that."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + max(_FIRST_SECONDS, _SHARE * (now - self._began))
            journal.record(self.so_far())

    def so_far(self) -> Times:
        """The times up to now, to the millisecond."""
        threads = {}
        for name, watch in {**self._others, "driver": self.driver}.items():
            seconds = dict(watch.seconds())
            seconds["start_up"] = seconds.get("start_up", 0.0) + watch.began - self._began
            threads[name] = {a: round(seconds[a], 3) for a in ACTIVITIES if seconds.get(a)}
        return Times(threads)


@dataclass(frozen=True)
class TimedSampler:
    """A sampler whose proposals count as sampling."""

    sampler: Sampler
    stopwatch: Stopwatch

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """What the sampler proposes."""
        with self.stopwatch.during("sampling"):
            return self.sampler.ask(trials, n)


class TimedJournal:
    """A journal whose transactions count as storing."""

    def __init__(self, journal: Journal, stopwatch: Stopwatch) -> None:
        self.state: StudyState = journal.state
        self._journal, self._stopwatch = journal, stopwatch

    def record(self, what: Happening, trial: int | None = None) -> None:
        """Note what happened."""
        self._journal.record(what, trial)

    def flush(self) -> None:
        """Store what has been noted."""
        with self._stopwatch.during("storing"):
            self._journal.flush()


class TimedExecutor:
    """An executor that is waited for."""

    def __init__(self, executor: Executor, stopwatch: Stopwatch) -> None:
        self.pools = executor.pools
        self._executor, self._stopwatch = executor, stopwatch

    def send(self, pool: int, orders: Sequence[Order]) -> None:
        """Orders for a pool."""
        self._executor.send(pool, orders)

    def receive(self, timeout_seconds: float) -> list[Message]:
        """What the pools have to say."""
        with self._stopwatch.during("waiting"):
            return self._executor.receive(timeout_seconds)

    def close(self) -> None:
        """Stop the pools after their present round."""
        with self._stopwatch.during("waiting"):
            self._executor.close()
