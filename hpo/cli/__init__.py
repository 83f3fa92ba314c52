"""The command line: a command parses, calls one function and prints."""

from __future__ import annotations

import signal
import threading

__all__ = ["main"]


def main() -> None:
    """Run the command that the process was started with."""
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not is_default or threading.current_thread() is not threading.main_thread():
        _run()
        return
    # There is nothing to clean up yet, and an import can lose a KeyboardInterrupt.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        _run()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _run() -> None:
    from hpo.cli.app import run_command

    run_command()
