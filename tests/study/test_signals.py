"""Stopping a run by a signal."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from hpo.study.signals import StopRequest, stop_signals, stopping_text

SAID = "Stopping after this round; once more to stop at once."


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_for_a_stop_and_says_so(number):
    said = []

    def say(text):
        time.sleep(0.1)  # longer than the run goes on
        said.append(text)

    with stop_signals(say, pytest.fail) as stop:
        stop.begin()
        assert not stop.obey()
        os.kill(os.getpid(), number)
        assert stop.wait(10)
        assert stop.obey()
    assert (stop.signal, said) == (number, [SAID])


def test_before_a_run_begins_a_signal_ends_the_process():
    said, codes, is_left = [], [], threading.Event()

    def leave(code):
        codes.append(code)
        is_left.set()

    with stop_signals(said.append, leave):
        os.kill(os.getpid(), signal.SIGTERM)
        assert is_left.wait(10)
    assert (said, codes) == (["Stopped before training began."], [143])


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
says = threading.Event()
def say(text):
    print(text, flush=True)
    says.set()
with stop_signals(say) as stop:
    stop.begin()
    # A process waits for such a thread, unless it ends at once.
    threading.Thread(target=threading.Event().wait).start()
    os.kill(os.getpid(), {int(number)})
    says.wait()
    stop.obey()
    os.kill(os.getpid(), {int(number)})
    threading.Event().wait()
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


def test_a_stop_says_what_it_waits_for() -> None:
    assert stopping_text(0, 2) == "Stopping after this round; once more to stop at once."
    assert stopping_text(2, 2) == (
        "Stopping without waiting for the programs that still compile; once more to stop at once."
    )
    assert stopping_text(1, 2) == (
        "Stopping after this round, without waiting for the program that still compiles; once more"
        " to stop at once."
    )


def test_a_run_notices_a_stop_when_it_looks() -> None:
    stop = StopRequest()
    assert not stop.obey()
    stop.set()
    assert not stop.is_obeyed(0)
    assert stop.obey()
    assert stop.is_obeyed(0)
