"""Stops a run on SIGINT or SIGTERM: the first saves and stops, the second stops at once.

Signals are read by a thread: the main thread may be in an import or a library for many seconds, and
an exception raised there can get lost.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import NoReturn

from hpo.errors import HpoError

# A run that has not noticed a stop after this long is ended as by a second signal.
_PATIENCE_SECONDS = 1.5
_ONCE_MORE = "once more to stop at once"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Threads that a run could not wait for, such as those that compile.
_left_threads: list[threading.Thread] = []


def stopping_text(compiling: int, pools: int) -> str:
    """Says what a stop waits for, by how many of the pools compile at the moment."""
    if not compiling:
        return f"Stopping after this round; {_ONCE_MORE}."
    what = "program that still compiles" if compiling == 1 else "programs that still compile"
    after = "" if compiling == pools else " after this round,"
    return f"Stopping{after} without waiting for the {what}; {_ONCE_MORE}."


class StopRequest(threading.Event):
    """An event that a signal sets; `signal` is the signal's number.

    A run calls `begin` when it has something to save, and `obey` when it notices the stop.
    `announce` says what a run that has begun waits for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.signal: int | None = None
        self.has_begun = False
        self.announce: Callable[[], str] = partial(stopping_text, 0, 1)
        self._obeyed = threading.Event()

    def begin(self) -> None:
        """From now on a stop waits until the run has saved."""
        self.has_begun = True

    def end(self) -> None:
        """From now on a stop changes nothing: the run is over."""
        self._obeyed.set()

    def obey(self) -> bool:
        """Whether the run has to stop; if so, it is no longer ended while it saves."""
        if self.is_set():
            self.end()
        return self.is_set()

    def is_obeyed(self, timeout_seconds: float) -> bool:
        """Wait until the run notices the stop; False if it has not after this time."""
        return self._obeyed.wait(timeout_seconds)


class StoppedError(HpoError):
    """Work that was stopped and has no result; `signal` is the number of the signal."""

    def __init__(self, text: str, signal: int) -> None:
        super().__init__(text)
        self.signal = signal


@contextmanager
def stop_signals(
    say: Callable[[str], None], leave: Callable[[int], object] = os._exit
) -> Iterator[StopRequest]:
    """Give an event that SIGINT and SIGTERM set; a second signal ends the process at once.

    `leave` ends the process with an exit code: before the run begins, and where it does not notice
    the stop. Nothing is lost by this, because a study may be killed at any moment.
    """
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    followers = [
        threading.Thread(target=_read, args=(reading, stop), daemon=True),
        threading.Thread(target=_see_to, args=(stop, say, leave), daemon=True),
    ]
    for thread in followers:
        thread.start()
    # Python writes each signal to the pipe at once; the handlers themselves run much later.
    old = {number: signal.signal(number, _ignore) for number in _SIGNALS}
    old_pipe = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield stop
    finally:
        stop.end()
        if stop.is_set():
            followers[1].join(_PATIENCE_SECONDS)  # it may still tell the user
        signal.set_wakeup_fd(old_pipe)
        for number, handler in old.items():
            signal.signal(number, handler)
        os.close(writing)
        followers[0].join()
        os.close(reading)


def leave_behind(thread: threading.Thread) -> None:
    """Note a thread that compiles: `leave` does not wait for it."""
    _left_threads.append(thread)


def leave(code: int) -> NoReturn:
    """End the process, at once if a thread was left behind: Python would wait for it."""
    if any(thread.is_alive() for thread in _left_threads):
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError, ValueError):  # closed, or nobody reads it
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _read(pipe: int, stop: StopRequest) -> None:
    """Set the event at the first signal and end the process at the second, until the pipe ends."""
    while numbers := os.read(pipe, 64):
        for number in numbers:
            if number not in _SIGNALS:
                continue
            if stop.signal is not None:
                os._exit(128 + number)
            stop.signal = number
            stop.set()


def _see_to(stop: StopRequest, say: Callable[[str], None], leave: Callable[[int], object]) -> None:
    """Tell the user of a stop, and end the process if the run does not notice it."""
    stop.wait()
    code = 128 + (stop.signal or signal.SIGTERM)
    if not stop.has_begun:
        say("Stopped before training began.")
        leave(code)
        return
    say(stop.announce())
    if not stop.is_obeyed(_PATIENCE_SECONDS):
        say("Stopped at once: the run did not answer; what is stored is kept.")
        leave(code)


def _ignore(*_: object) -> None:
    """Handles a signal, which a thread has read already."""
