"""Runs a study in a process of its own and gives its events."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, Self

from hpo import errors, registry
from hpo.api.events import Event, Said, from_document
from hpo.api.study import Study
from hpo.errors import HpoError, SpecError, StudyError, visible

_ROOT = Path(__file__).parents[2]
_LONGEST_TRACE = 10_000


class Stream:
    """The events of a run, as an iterator; leaving the loop stops the run and keeps the study.

    The run has a process of its own, so that this one may use JAX as it likes. `close`, the end of
    a `with` block, or the end of this process stops it after its present round.

    Raises:
        HpoError: from `next`, for what the user can fix.
    """

    def __init__(self, request: Mapping[str, Any], name: str, storage: str | None) -> None:
        self._name, self._storage = name, storage
        self._is_asked_to_stop = False
        self._trace = tempfile.TemporaryFile()  # noqa: SIM115 - `_stop` closes it
        # A session of its own: Ctrl-C reaches this process alone, which then stops the other.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hpo.api.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._trace,
            env={**os.environ, "PYTHONPATH": _search_path()},
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._messages: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        # Neither may refer to this object: a loop that is left drops the last reference to it.
        arguments = (self._process.stdout, self._messages)
        reader = threading.Thread(target=_read, args=arguments, daemon=True)
        self._stop = weakref.finalize(self, _stop, self._process, reader, self._trace)
        reader.start()
        line = json.dumps({**request, "registry": registry.added()})
        with suppress(BrokenPipeError):  # it has failed already, and `next` raises why
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()

    @property
    def study(self) -> Study:
        """The study, as it is stored by now.

        Raises:
            StudyError: before the first event, when it may not be stored yet.
        """
        return Study(self._name, self._storage)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        if not self._stop.alive:
            raise StopIteration
        message = self._messages.get()
        if message is None:
            self._end()
            raise StopIteration
        if message["kind"] == "refused":
            self.close()
            raise _error(message)
        return from_document(message)

    def ask_to_stop(self) -> None:
        """Let the run stop after its present round; its last events are still to come."""
        assert self._process.stdin is not None
        self._is_asked_to_stop = True
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def kill(self) -> None:
        """End the process of the run at once; what is stored is kept."""
        self._process.kill()

    def close(self) -> None:
        """Stop the run after its present round; a second Ctrl-C meanwhile stops it at once."""
        self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _end(self) -> None:
        """Wait for the process after its last message.

        Raises:
            StudyError: if it was killed or stopped.
            RuntimeError: with its traceback, if it failed.
        """
        code = self._process.wait()
        self._trace.seek(0, os.SEEK_END)
        self._trace.seek(max(0, self._trace.tell() - _LONGEST_TRACE))
        trace = self._trace.read().decode(errors="replace")
        self.close()
        if self._is_asked_to_stop:
            return
        if code < 0:
            raise StudyError(
                f"{self._name}: its process was killed ({signal.Signals(-code).name}), often for "
                "lack of memory: start it again; what is stored is kept."
            )
        if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
            raise StudyError(
                f"{self._name}: its process was stopped ({signal.Signals(code - 128).name}): start "
                "it again; what is stored is kept."
            )
        if code > 0:
            raise RuntimeError(f"{self._name}: its process failed with code {code}:\n{trace}")


def wait_for(events: Stream) -> None:
    """Print the messages of a run to stderr until it is over; Ctrl-C stops it after its round.

    Raises:
        HpoError: for what the user can fix.
    """
    with events:
        try:
            _print(events)
        except KeyboardInterrupt:
            events.ask_to_stop()
            try:
                _print(events)
            except KeyboardInterrupt:
                events.kill()
            raise


def print_message(text: str) -> None:
    """Print a message to stderr; its control characters are shown."""
    # A stderr that is full or closed must not stop a run; `print` would take stdout then.
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(visible(text), file=sys.stderr, flush=True)


def _print(events: Stream) -> None:
    for event in events:
        if isinstance(event, Said):
            print_message(event.text)


def _stop(process: subprocess.Popen[bytes], reader: threading.Thread, trace: IO[bytes]) -> None:
    """Stop a run after its present round; at once if this is interrupted."""
    try:
        _leave(process, reader)
    except BaseException:
        process.kill()
        _leave(process, reader)
        raise
    finally:
        trace.close()


def _leave(process: subprocess.Popen[bytes], reader: threading.Thread) -> None:
    """Close the pipe, which stops the run, and wait for its end."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    process.wait()
    reader.join()
    process.stdout.close()


def _read(pipe: IO[bytes], messages: SimpleQueue[dict[str, Any] | None]) -> None:
    try:
        for line in pipe:
            messages.put(json.loads(line))
    finally:
        messages.put(None)


def _search_path() -> str:
    """The folders where the other process finds modules: those of this one, and that of `hpo`."""
    return os.pathsep.join([*(os.path.abspath(path) for path in sys.path), str(_ROOT)])  # noqa: PTH100


def _error(message: Mapping[str, Any]) -> HpoError:
    """The error of the other process, as the nearest class of `hpo.errors`."""
    kind = next(found for name in message["errors"] if (found := getattr(errors, name, None)))
    if kind is SpecError:
        return SpecError(message["lines"])
    error: HpoError = kind(message["lines"][0])
    return error
