"""Runs a Python function as a trial: `python -m hpo.api.functions.worker train.py:objective FILE`.

With a second file it notes there what the function asks for, to find a space. It imports little.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import inspect
import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from hpo.api.functions.trial import Trial, TrialStopped
from hpo.api.reporting import report

_STOPPED = 128 + signal.SIGTERM


def main() -> None:
    """Call the function that the command line names with the values of its file.

    Where that names the socket of a supervisor instead, take trial after trial from there.
    """
    text, config, *asked = sys.argv[1:]
    if config.isdecimal():
        _stay(text, socket.socket(fileno=int(config)))
    else:
        sys.exit(_run(text, config, asked[0] if asked else None))


def _stay(text: str, link: socket.socket) -> None:
    """Run trials until one leaves this process other than it was, or there are no more."""
    libc, here = ctypes.CDLL(None), Path.cwd()
    with link:
        while True:
            environment, handles, *_ = socket.recv_fds(link, 2**20, 1)
            if not environment:
                return
            _print_to(*handles)
            os.environ.update(json.loads(environment))
            os.chdir(here)
            threads = threading.active_count()
            status = _status(text, os.environ["HPO_CONFIG"])
            sys.stdout.flush()
            sys.stderr.flush()
            libc.fflush(None)
            again = status in (0, _STOPPED) and threading.active_count() <= threads
            link.sendall(json.dumps({"status": status, "again": again}).encode())
            # The end of the output wakes the supervisor, which then reads the answer.
            _print_to(os.open(os.devnull, os.O_WRONLY))
            if not again:
                return


def _status(text: str, config: str) -> int:
    """The status that a process of its own would end with after this trial."""
    try:
        return _run(text, config, None)
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else int(ending.code is not None)


def _print_to(handle: int) -> None:
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)


def _run(text: str, config: str, finds: str | None) -> int:
    """Call the function with the values of a file; the status to end with."""
    values = json.loads(Path(config).read_text())
    trial = Trial(values, finds)
    try:
        function = _function(text)
        names = inspect.signature(function).parameters
        given = {"trial": trial} if "trial" in names else {}
        is_asked = [*names] == ["trial"]  # it asks for its values, as an objective of Optuna
        value = function(**given, **({} if is_asked else values))
        if value is not None and not trial.has_reported:
            report(value)
    except TrialStopped:
        return 0 if finds else _STOPPED
    except BaseException as error:
        if isinstance(error, SystemExit | KeyboardInterrupt):
            raise
        if _is_pruned(error):
            return _pruned(trial, finds)
        # Frames of this module tell a user nothing.
        shown = error.__traceback__.tb_next if error.__traceback__ else None
        traceback.print_exception(type(error), error, shown)
        return 1
    return 0


def _is_pruned(error: BaseException) -> bool:
    """Whether a function ends its trial as those of Optuna do."""
    return any(
        kind.__name__ == "TrialPruned" and kind.__module__.partition(".")[0] == "optuna"
        for kind in type(error).__mro__
    )


def _pruned(trial: Trial, finds: str | None) -> int:
    """The status of a trial that has pruned itself: its last result stands, where it has one."""
    if finds is not None:
        report(0.0)
        return 0
    if trial.is_stopped:
        return _STOPPED
    if not trial.has_reported:
        sys.stderr.write("TrialPruned: it has pruned itself before it reported anything\n")
    return 0


@cache
def _function(text: str) -> Callable[..., Any]:
    """The function of `train.py:objective` or `package.module:objective`, imported."""
    module, _, name = text.rpartition(":")
    if not module.endswith(".py"):
        found: Any = importlib.import_module(module)
    else:
        file = Path(module).expanduser().resolve()
        sys.path.insert(0, str(file.parent))
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        found = sys.modules[file.stem] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    for part in name.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]


if __name__ == "__main__":
    main()
