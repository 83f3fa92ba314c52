"""Processes of `hpo` that start in milliseconds: copies of one that has imported everything.

They differ from those that a shell starts as those of `tests/campaign/forked.py` do. Tests that
are about the start of a process, its imports or its parent start real ones.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path


@cache
def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.imported"])
    return context


class Process:
    """A process that runs `hpo` in a folder, with the calls of `subprocess.Popen` that tests use.

    With a script it is run as `python SCRIPT ARGUMENTS`.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        script: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        number = sum(1 for _ in folder.glob(".out-*"))
        self._outputs = [folder / f".{name}-{number}" for name in ("out", "err")]
        for file in self._outputs:
            file.touch()
        given = (str(folder), arguments, script, dict(environment or os.environ))
        self._process = _server().Process(target=_run, args=(*given, *map(str, self._outputs)))
        self._process.start()
        assert self._process.pid
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, which: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, which)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it has printed by its end."""
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired("hpo", timeout or 0.0)
        out, err = (file.read_text() for file in self._outputs)
        return out, err


def _run(
    folder: str,
    arguments: Sequence[str],
    script: str,
    environment: Mapping[str, str],
    *outputs: str,
) -> None:
    import runpy

    from tests.campaign.forked import new_streams

    for number, name in enumerate((os.devnull, *outputs)):
        os.dup2(os.open(name, os.O_RDWR | os.O_APPEND), number)
    new_streams()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [script or "hpo", *arguments]
    try:
        if script:
            sys.path.insert(0, folder)
            runpy.run_path(script, run_name="__main__")
        else:
            from hpo.cli import main

            main()
    except KeyboardInterrupt:
        # As the interpreter ends: its parent sees the signal.
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
