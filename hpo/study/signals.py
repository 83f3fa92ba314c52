"""Stops a run on SIGINT or SIGTERM: the first saves and stops, the second stops at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from hpo.errors import HpoError


class StopRequest(threading.Event):
    """An event that a signal sets; `signal` is the signal's number."""

    signal: int | None = None


class StoppedError(HpoError):
    """Work that was stopped and has no result; `signal` is the number of the signal."""

    def __init__(self, text: str, signal: int) -> None:
        super().__init__(text)
        self.signal = signal


@contextmanager
def stop_signals(say: Callable[[str], None]) -> Iterator[StopRequest]:
    """Give an event that SIGINT and SIGTERM set; a second signal ends the process at once."""
    stop = StopRequest()

    def on_signal(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            # An exception would not do: the process would wait for threads that train a round.
            os._exit(128 + number)
        stop.signal = number
        stop.set()
        say("Stopping after this round; once more to stop at once.")

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    old = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
