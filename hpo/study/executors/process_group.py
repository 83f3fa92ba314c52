"""A command as a process group: its start, its output and its end. It imports little."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from hpo.study.executors.staying import StayingProcess, Waiting, with_output

LOG = "log.txt"
# Signals that the supervisor ignores, because its driver decides when it ends.
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_CHUNK = 2**16
_TAIL = 2**14
_MOST_CHUNKS = 64  # read at once, so that a command that prints without end keeps no other waiting
_ORPHAN_SECONDS = 2.0  # for processes to end that were killed
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PAGE = os.sysconf("SC_PAGE_SIZE")


def adopt_orphans() -> None:
    """Let processes whose parents have ended become children of this one, so that it ends them."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1)


class ProcessGroup:
    """A command that runs in a session of its own; its output goes to a log.

    A launch that `stays` takes a process from those that wait, or starts one that will wait.
    """

    def __init__(self, launch: Mapping[str, Any], log_limit: int, waiting: Waiting) -> None:
        """Start it.

        Raises:
            OSError: where it cannot be started.
        """
        self.folder = Path(launch["folder"])
        self.log = Log(self.folder / LOG, log_limit)
        self.log.note(f"starts: {launch['shown']}")
        self._waiting = waiting
        self._staying: StayingProcess | None = None
        self._status: int | None = None
        try:
            if launch["stays"]:
                self._staying = waiting.take(launch) or StayingProcess(launch, _begin)
                self._process = self._staying.process
                self.output = self._staying.begin(launch)
            else:
                self._process, self.output = with_output(partial(_started, launch))
        except OSError:
            self.log.close()
            raise
        self.pid = self._process.pid
        os.set_blocking(self.output, False)
        self.is_frozen = False
        self.is_silent = False  # whether it has closed its output

    def read(self) -> Iterator[bytes]:
        """What it has written since the last call, in pieces."""
        for _ in range(0 if self.is_silent else _MOST_CHUNKS):
            try:
                chunk = os.read(self.output, _CHUNK)
            except BlockingIOError:
                return
            if not chunk:
                self.is_silent = True
                return
            self.log.write(chunk)
            yield chunk

    def signal(self, number: int) -> None:
        """Send a signal to the whole group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def freeze(self) -> None:
        """Stop it until `thaw`."""
        self.is_frozen = True
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self.is_frozen:
            self.is_frozen = False
            self.signal(signal.SIGCONT)

    def reaped(self, status: int) -> None:
        """Note that it has ended; others of its session are killed, wherever they are."""
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self.signal(signal.SIGKILL)
        _kill(_left_by(self.pid, self._marks))

    def has_answered(self, memory_limit: int | None) -> bool:
        """Whether a process that stays says that its trial has ended.

        It waits for the next trial if it is as before: the trial has left no process, and half of
        the memory limit is free. Else it is ended.
        """
        if self._staying is None or (answer := self._staying.answer()) is None:
            return False
        self._status = answer.status
        others = _left_by(self.pid, self._marks)
        is_small = memory_limit is None or 2 * resident_bytes().get(self.pid, 0) < memory_limit
        if answer.again and not others and is_small:
            self._waiting.keep(self._staying)
            return True
        self._staying.end()
        _kill(others)
        return True

    @property
    def _marks(self) -> list[str]:
        """What `HPO_FOLDER` is in the processes of the trial."""
        return [str(self.folder), *([] if self._staying is None else [self._staying.mark])]

    def close(self) -> None:
        """Close its output and its log."""
        os.close(self.output)
        self.log.close()

    @property
    def exit_code(self) -> int | None:
        """The status that it ended with, negative for a signal; None while it runs."""
        return self._process.returncode if self._status is None else self._status


class Log:
    """A trial's log: the first `limit` bytes of output, then its end."""

    def __init__(self, path: Path, limit: int) -> None:
        self._file = path.open("ab", buffering=0)
        self._left = max(0, limit - self._file.tell())
        self._dropped, self.tail = 0, b""
        self._ends_line = True

    def write(self, chunk: bytes) -> None:
        """Add output; what is beyond the limit is dropped, but for the last of it."""
        kept = chunk[: self._left]
        if kept:
            self._file.write(kept)
            self._left -= len(kept)
            self._ends_line = kept.endswith(b"\n")
        self._dropped += len(chunk) - len(kept)
        self.tail = (self.tail + chunk)[-_TAIL:]

    def note(self, sentence: str) -> None:
        """Add a line of hpo's own."""
        start = "" if self._ends_line else "\n"
        self._file.write(f"{start}[hpo] {sentence}\n".encode())
        self._ends_line = True

    @property
    def last_line(self) -> str:
        """The last line of output that is not empty."""
        lines = [line for line in self.tail.decode(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip()[-200:] if lines else ""

    def close(self) -> None:
        """Close the file, after the end of an output that was too long."""
        if self._dropped:
            kept = min(self._dropped, len(self.tail))
            self.note(f"{self._dropped - kept:,} bytes of output are not kept (command.log_limit).")
            self._file.write(self.tail[-kept:])
        self._file.close()


def resident_bytes() -> Mapping[int, int]:
    """The memory that the processes of each session use, by the process that began the session."""
    found: Counter[int] = Counter()
    for _, fields in _processes():
        found[int(fields[3])] += int(fields[21]) * _PAGE
    return found


def reap() -> Iterator[tuple[int, int]]:
    """The children that have ended, as (pid, status)."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def _started(launch: Mapping[str, Any], pipe: int) -> subprocess.Popen[bytes]:
    """A process for one trial alone, which prints to a pipe."""
    return subprocess.Popen(
        launch["argv"],
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        cwd=launch["cwd"],
        env={**os.environ, **launch["env"]},
        start_new_session=True,
        preexec_fn=_begin,
    )


def end_orphans() -> None:
    """Kill the children that are left, such as those that have cleared their environment."""
    until = time.monotonic() + _ORPHAN_SECONDS
    while time.monotonic() < until:
        left = [pid for pid, fields in _processes() if int(fields[1]) == os.getpid()]
        if not left:
            return
        _kill(left)
        list(reap())
        time.sleep(0.005)


def _begin() -> None:
    """What the command's process does first: it dies with its parent, and hears signals."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in IGNORED:
        signal.signal(number, signal.SIG_DFL)


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _left_by(pid: int, marks: Iterable[str]) -> set[int]:
    """Processes that a trial has left behind: those of its session, and marked ones in others."""
    marked = {b"HPO_FOLDER=" + os.fsencode(mark) for mark in marks}
    found = set()
    for other, fields in _processes():
        if int(fields[3]) == pid:
            found.add(other)
            continue
        with suppress(OSError):
            if not marked.isdisjoint(Path(f"/proc/{other}/environ").read_bytes().split(b"\0")):
                found.add(other)
    return found - {pid}


def _processes() -> Iterator[tuple[int, Sequence[str]]]:
    """Every process and the fields of its status after its name: see proc(5)."""
    if sys.platform != "linux":
        return
    for name in os.listdir("/proc"):  # noqa: PTH208 (fast: it is asked twice a second)
        if name.isdigit():
            with suppress(OSError):
                text = Path(f"/proc/{name}/stat").read_text(errors="replace")
                yield int(name), text.rpartition(")")[2].split()
