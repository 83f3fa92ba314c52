"""Stops while a program compiles, in start-up, and while a study does not answer."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.checkout import ROOT
from tests.processes import Process

SPEC = """
name: flowers
data: {dataset: {points: points.txt}, validation: 40, test: 0, batch_size: 16}
model: {name: sorted}
optimizer: {name: adam}
train: {epochs: 3}
space:
  optimizer.learning_rate: {float: [1.0e-3, 1.0e-1], log: true}
search:
  sampler: {name: patient}
  scheduler: {name: none}
  objective: {maximize: accuracy}
  baselines: false
  trials: 4
"""

# A package of a user's own. The part of it that SLOW names writes a file and then takes minutes.
OWN = """
import os
import threading
import time
from typing import ClassVar, Literal

from hpo.spec.marks import Spec


def is_slow(part):
    if os.environ.get("SLOW") == part:
        with open(part, "w"):
            return True
    return False


class Sorted(Spec):
    name: Literal["sorted"]


def make_sorted(spec, shapes, rngs):
    import jax.numpy as jnp
    import numpy as np
    from flax import nnx

    class Model(nnx.Module):
        def __init__(self):
            self.head = nnx.Linear(shapes.example[0], shapes.outputs, rngs=rngs)

        def __call__(self, x, spec, *, train, dropout):
            if threading.current_thread().name.startswith("pool") and is_slow("compiling"):
                # XLA sorts a constant while it compiles, which takes half a minute.
                many = np.random.default_rng(0).random(200_000, np.float32)
                x = x + jnp.sort(jnp.asarray(many))[0]
            return self.head(x)

    return Model()


class Points(Spec):
    task: ClassVar[str] = "classification"
    points: str


def read_points(path, spec):
    import numpy as np
    from hpo.data.source import Source

    if is_slow("reading"):
        time.sleep(600)
    x = np.random.default_rng(0).standard_normal((120, 2))
    y = (x[:, 0] > 0).astype(np.int32)
    return Source(x=x, y=y, target=str(path), classes=("0", "1"))


class Patient(Spec):
    name: Literal["patient"]


def make_patient(spec, space, setting):
    from hpo.search.samplers.random import RandomSearch

    class Slow:
        def ask(self, trials, n):
            if is_slow("sampling"):
                time.sleep(600)
            return RandomSearch(space, setting.seed).ask(trials, n)

    return Slow()
"""
ADD = """
from hpo import registry
registry.add("model", "sorted", "own:Sorted", "own:make_sorted")
registry.add("reader", "points", "own:Points", "own:read_points")
registry.add("sampler", "patient", "own:Patient", "own:make_patient")
"""

long = pytest.mark.long


class Study:
    """A study of a user's package in a folder, and the processes that run it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.processes = folder, list[Process]()
        (folder / "own.py").write_text(OWN)
        (folder / "start.py").write_text(f"{ADD}import hpo.cli\nhpo.cli.main()\n")
        (folder / "flowers.yaml").write_text(SPEC)
        (folder / "points.txt").touch()

    def start(self, *command: str, slow: str = "", code: str = "") -> Process:
        (self.folder / "code.py").write_text(f"{ADD}import hpo\n{code}")
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "HPO_CACHE": str(self.folder / "cache"),
            "SLOW": slow,
        }
        script = "code.py" if code else "start.py"
        process = Process(self.folder, *command, script=script, environment=environment)
        self.processes.append(process)
        return process

    def wait_for(self, part: str) -> None:
        """Until the slow part has begun."""
        self._wait(lambda: (self.folder / part).exists())

    def wait_for_compile(self) -> None:
        """Until a pool compiles, and the driver waits for it."""
        self.wait_for("compiling")
        self._wait(lambda: self.values("select mirrored_seq from hpo_studies") > [0])

    def _wait(self, is_over: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not is_over():
            assert time.monotonic() < deadline, "it has not begun"
            assert self.processes[-1].poll() is None, self.processes[-1].communicate()
            time.sleep(0.01)

    def values(self, query: str) -> list[Any]:
        connection = sqlite3.connect(f"file:{self.folder / 'hpo.db'}?mode=ro", uri=True)
        try:
            return [value for (value,) in connection.execute(query)]
        finally:
            connection.close()

    def is_closed(self) -> bool:
        """Whether nobody holds the study, and its database is one file."""
        return not self.values("select token from hpo_leases") and not [
            *self.folder.glob("hpo.db-*")
        ]

    def finish(self) -> None:
        process = self.start("resume", "flowers")
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        ends = self.values("select value from hpo_events where kind = 'end'")
        assert ends == ['{"state": "complete"}'] * 4


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    found = Study(tmp_path)
    yield found
    for process in found.processes:
        process.kill()
        process.communicate()


@long
def test_a_stop_does_not_wait_for_a_program_that_compiles(study: Study) -> None:
    process = study.start("search", "flowers.yaml", slow="compiling")
    study.wait_for_compile()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)

    assert process.returncode == 130
    assert "flowers  interrupted, and saved" in output
    assert "hpo resume flowers" in output
    assert "Stopping without waiting for the program" in errors
    # XLA says so when it has sorted its constant.
    assert "The operation took" not in errors
    assert study.values("select value from hpo_events where kind = 'stop'") == [
        '{"reason": "interrupted"}'
    ]
    assert study.is_closed()
    study.finish()


PARENTS: dict[str, tuple[str, Callable[[Study, Process], object], int]] = {
    "leaving the loop": (
        "import os, time\n"
        "for event in hpo.search('flowers.yaml', stream=True):\n"
        "    while not os.path.exists('enough'): time.sleep(0.01)\n"
        "    break\n",
        lambda study, process: (study.folder / "enough").touch(),
        0,
    ),
    "Ctrl-C": (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "hpo.search('flowers.yaml')",
        lambda study, process: process.send_signal(signal.SIGINT),
        -signal.SIGINT,
    ),
}


@long
@pytest.mark.parametrize("way", PARENTS)
def test_a_search_of_a_script_does_not_wait_for_a_program_that_compiles(
    study: Study, way: str
) -> None:
    code, stop, exit_code = PARENTS[way]
    process = study.start(slow="compiling", code=code)
    study.wait_for_compile()
    stop(study, process)
    _, errors = process.communicate(timeout=120)

    assert process.returncode == exit_code, errors
    assert ("Stopping without waiting for the program" in errors) == (way == "Ctrl-C")
    assert study.values("select value from hpo_events where kind = 'stop'") == [
        '{"reason": "interrupted"}'
    ]
    assert study.is_closed()
    # The program was not finished, or it would be in the cache.
    assert not [*(study.folder / "cache").glob("[0-9a-f]" * 64)]


@long
def test_a_stop_in_start_up_ends_the_process_at_once(study: Study) -> None:
    process = study.start("search", "flowers.yaml", slow="reading")
    study.wait_for("reading")
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)

    assert (process.returncode, output) == (130, "")
    assert errors == "Stopped before training began.\n"
    assert not (study.folder / "hpo.db").exists()


@long
def test_a_loop_that_is_left_in_start_up_ends_the_process_at_once(study: Study) -> None:
    code = """
import os, time
events = hpo.search("flowers.yaml", stream=True)
while not os.path.exists("reading"): time.sleep(0.01)
events.close()
"""
    process = study.start(slow="reading", code=code)
    assert process.communicate(timeout=120) == ("", "")
    assert process.returncode == 0
    assert not (study.folder / "hpo.db").exists()


@long
def test_a_script_says_that_its_search_was_stopped_from_outside(study: Study) -> None:
    code = """
import os, signal, threading, time
events = hpo.search("flowers.yaml", stream=True)
def stop():
    while not os.path.exists("reading"): time.sleep(0.01)
    os.kill(events._process.pid, signal.SIGTERM)
threading.Thread(target=stop).start()
try:
    list(events)
except hpo.StudyError as error:
    print(error)
"""
    output, errors = study.start(slow="reading", code=code).communicate(timeout=120)
    assert (output, errors) == (
        "flowers: its process was stopped (SIGTERM): start it again; what is stored is kept.\n",
        "",
    )


@long
def test_a_study_that_does_not_notice_a_stop_is_ended_and_goes_on(study: Study) -> None:
    process = study.start("search", "flowers.yaml", slow="sampling")
    study.wait_for("sampling")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)

    assert process.returncode == 130
    assert "Stopped at once: the run did not answer" in errors
    study.finish()


@long
def test_a_second_signal_ends_a_process_that_does_not_answer_at_once(study: Study) -> None:
    process = study.start("search", "flowers.yaml", slow="sampling")
    study.wait_for("sampling")
    for number in (signal.SIGINT, signal.SIGTERM):
        process.send_signal(number)
    _, errors = process.communicate(timeout=120)

    assert process.returncode in (130, 143)
    assert "Stopped at once" not in errors
