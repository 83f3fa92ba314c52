"""A stopwatch: the seconds that a thread spends on each activity."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple


class Clock(NamedTuple):
    """A reading of a stopwatch: when it began, by `time.monotonic()`, and seconds by activity."""

    began: float
    seconds: Mapping[str, float]


class Stopwatch:
    """Measures seconds by activity; each moment belongs to one, so that they add up to the total.

    One thread switches activities; other threads may read it.
    """

    def __init__(
        self,
        activity: str,
        began: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self.began = clock() if began is None else began
        self._activity, self._since = activity, self.began
        self._seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def activity(self) -> str:
        """What the thread does at this moment."""
        return self._activity

    def turn_to(self, activity: str) -> str:
        """Switch to this activity; returns the previous one."""
        with self._lock:
            now, before = self._clock(), self._activity
            self._seconds[before] = self._seconds.get(before, 0.0) + now - self._since
            self._activity, self._since = activity, now
            return before

    @contextmanager
    def during(self, activity: str) -> Iterator[None]:
        """Switch to this activity within the block, and back to the previous one after it."""
        before = self.turn_to(activity)
        try:
            yield
        finally:
            self.turn_to(before)

    def shift(self, seconds: float, source: str, target: str) -> None:
        """Count `seconds` of the activity `source` as `target`, which ran within it."""
        with self._lock:
            self._seconds[source] -= seconds
            self._seconds[target] = self._seconds.get(target, 0.0) + seconds

    def read(self) -> Clock:
        """The reading at this moment."""
        return Clock(self.began, self.seconds())

    def seconds(self) -> Mapping[str, float]:
        """The seconds of each activity up to now."""
        with self._lock:
            found = dict(self._seconds)
            running = self._clock() - self._since
            found[self._activity] = found.get(self._activity, 0.0) + running
            return found
