"""A command as a process group: its start, its output and its end. It imports little."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

LOG = "log.txt"
# Signals that the supervisor ignores, because its driver decides when it ends.
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_CHUNK = 2**16
_TAIL = 2**14
_MOST_CHUNKS = 64  # read at once, so that a command that prints without end keeps no other waiting
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PAGE = os.sysconf("SC_PAGE_SIZE")


def adopt_orphans() -> None:
    """Let processes whose parents have ended become children of this one, so that it ends them."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1)


class ProcessGroup:
    """A command that runs in a session of its own; its output goes to a log."""

    def __init__(self, launch: Mapping[str, Any], log_limit: int) -> None:
        """Start it.

        Raises:
            OSError: where it cannot be started.
        """
        self.folder = Path(launch["folder"])
        self.log = Log(self.folder / LOG, log_limit)
        self.log.note(f"starts: {launch['shown']}")
        try:
            process = subprocess.Popen(
                launch["argv"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                cwd=launch["cwd"],
                env={**os.environ, **launch["env"]},
                start_new_session=True,
                preexec_fn=_begin,
            )
        except OSError:
            self.log.close()
            raise
        self.pid = process.pid
        assert process.stdout is not None
        self.output = process.stdout.fileno()
        os.set_blocking(self.output, False)
        self._process = process  # holds the pipe open
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
        for pid in _orphans(self.folder):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """Close its output and its log."""
        if self._process.stdout is not None:
            self._process.stdout.close()
        self.log.close()

    @property
    def exit_code(self) -> int | None:
        """The status that it ended with, negative for a signal; None while it runs."""
        return self._process.returncode


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


def _begin() -> None:
    """What the command's process does first: it dies with its parent, and hears signals."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in IGNORED:
        signal.signal(number, signal.SIG_DFL)


def _orphans(folder: Path) -> Iterator[int]:
    """Processes that a trial has left behind, in sessions of their own too."""
    mark = b"HPO_FOLDER=" + os.fsencode(folder)
    for pid, _ in _processes():
        with suppress(OSError):
            if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                yield pid


def _processes() -> Iterator[tuple[int, Sequence[str]]]:
    """Every process and the fields of its status after its name: see proc(5)."""
    if sys.platform != "linux":
        return
    for name in os.listdir("/proc"):  # noqa: PTH208 (fast: it is asked twice a second)
        if name.isdigit():
            with suppress(OSError):
                text = Path(f"/proc/{name}/stat").read_text(errors="replace")
                yield int(name), text.rpartition(")")[2].split()
