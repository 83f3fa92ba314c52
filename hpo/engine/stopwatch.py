"""A stopwatch: where the seconds of a thread go."""

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
    """Seconds by activity. Every moment belongs to one of them, so that they add up to the whole.

    One thread turns it, others may read it.
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

    def turn_to(self, activity: str) -> str:
        """From now on, it is this activity; the one that it was."""
        with self._lock:
            now, before = self._clock(), self._activity
            self._seconds[before] = self._seconds.get(before, 0.0) + now - self._since
            self._activity, self._since = activity, now
            return before

    @contextmanager
    def during(self, activity: str) -> Iterator[None]:
        """This activity for a while, then again the one before."""
        before = self.turn_to(activity)
        try:
            yield
        finally:
            self.turn_to(before)

    def shift(self, seconds: float, source: str, target: str) -> None:
        """Count some seconds of one activity as another's, for what ran within it."""
        with self._lock:
            self._seconds[source] -= seconds
            self._seconds[target] = self._seconds.get(target, 0.0) + seconds

    def read(self) -> Clock:
        """What it shows now."""
        return Clock(self.began, self.seconds())

    def seconds(self) -> Mapping[str, float]:
        """What each activity has taken up to now."""
        with self._lock:
            found = dict(self._seconds)
            running = self._clock() - self._since
            found[self._activity] = found.get(self._activity, 0.0) + running
            return found
