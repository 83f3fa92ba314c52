"""Stopping a run by a signal."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from hpo.study.signals import stop_signals

SAID = "Stopping after this round; once more to stop at once."


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_for_a_stop_and_says_so(number):
    said = []
    with stop_signals(said.append) as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert stop.wait(10)
        assert (stop.signal, said) == (number, [SAID])


def test_afterwards_signals_are_handled_as_before():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stop_signals(print):
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_the_process_at_once(number, code):
    program = f"""
import os, threading
from hpo.study.signals import stop_signals
with stop_signals(lambda text: print(text, flush=True)) as stop:
    # A process waits for such a thread, unless it ends at once.
    threading.Thread(target=threading.Event().wait).start()
    os.kill(os.getpid(), {int(number)})
    stop.wait()
    os.kill(os.getpid(), {int(number)})
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, f"{SAID}\n", "")


def test_another_thread_gets_an_event_that_it_sets_itself():
    found = []

    def run():
        with stop_signals(print) as stop:
            found.append((stop.is_set(), stop.signal))

    handler = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [(False, None)]
    assert signal.getsignal(signal.SIGINT) is handler
