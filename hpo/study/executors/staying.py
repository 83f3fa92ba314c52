"""Processes that stay for several trials of a Python function. It imports little.

A process gets a trial by a socket, with the pipe for that trial's output, and answers with the
status that the trial ended with. One that answers that it is as before waits for the next trial.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

_DEVICES = "CUDA_VISIBLE_DEVICES"


class Answer(NamedTuple):
    """How a trial ended, and whether its process can take the next one."""

    status: int
    again: bool


class StayingProcess:
    """A process in a session of its own that waits for trials."""

    def __init__(self, launch: Mapping[str, Any], begin: Callable[[], None]) -> None:
        """Start it; `begin` is what it does first.

        Raises:
            OSError: where it cannot be started.
        """
        self._socket, theirs = socket.socketpair()
        self.devices = launch["env"].get(_DEVICES)
        # What it forks keeps this mark, whichever trial forks it.
        self.mark = f"{launch['folder']}.{uuid.uuid4().hex}"
        with theirs:
            self.process = subprocess.Popen(
                [*launch["stays"], str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=launch["cwd"],
                env={**os.environ, **launch["env"], "HPO_FOLDER": self.mark},
                start_new_session=True,
                pass_fds=(theirs.fileno(),),
                preexec_fn=begin,
            )
        self._socket.setblocking(False)

    @property
    def is_there(self) -> bool:
        """Whether it waits for a trial."""
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def begin(self, launch: Mapping[str, Any]) -> int:
        """Give it a trial; the pipe with the output of that trial.

        Raises:
            OSError: where it has ended meanwhile.
        """
        trial = [json.dumps(launch["env"]).encode()]
        _, output = with_output(lambda pipe: socket.send_fds(self._socket, trial, [pipe]))
        return output

    def answer(self) -> Answer | None:
        """How its trial ended; None while it runs, and where the process has ended."""
        with suppress(OSError):
            if told := self._socket.recv(4096):
                return Answer(**json.loads(told))
        return None

    def end(self) -> None:
        """End it with all processes of its session."""
        self._socket.close()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.returncode = -signal.SIGKILL  # the supervisor reaps all children


def with_output(start: Callable[[int], T]) -> tuple[T, int]:
    """What `start` gives for the end of a new pipe that a trial prints to, and its other end.

    Raises:
        OSError: as `start` does.
    """
    source, target = os.pipe()
    try:
        return start(target), source
    except OSError:
        os.close(source)
        raise
    finally:
        os.close(target)


class Waiting:
    """The processes that wait for a trial."""

    def __init__(self) -> None:
        self._processes: list[StayingProcess] = []

    def keep(self, process: StayingProcess) -> None:
        """Let a process wait."""
        self._processes.append(process)

    def take(self, launch: Mapping[str, Any]) -> StayingProcess | None:
        """One with the devices of a trial, if there is one."""
        for process in list(self._processes):
            if not process.is_there:
                self._processes.remove(process)
            elif process.devices == launch["env"].get(_DEVICES):
                self._processes.remove(process)
                return process
        return None

    def close(self) -> None:
        """End all of them, and wait until they are gone."""
        for process in self._processes:
            if process.is_there:
                process.end()
                with suppress(ChildProcessError):
                    os.waitpid(process.process.pid, 0)
        self._processes.clear()
