"""The local executor under a driver: trials of one program on two data sets."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from hpo.engine.devices import local_devices
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans
from hpo.search.samplers.random import RandomSearch
from hpo.search.schedulers.make import make_scheduler
from hpo.space import Dimension, Float, SearchSpace
from hpo.spec.fill import fill
from hpo.spec.sections.scheduler import SuccessiveHalving
from hpo.study.executors.local import local_executor
from hpo.study.executors.messages import Load, State, Take, Taken
from hpo.study.loop.deciding import Rules
from hpo.study.loop.driver import Driver
from hpo.study.loop.states import States
from hpo.study.loop.work import Work
from hpo.study.storage.checkpoints import CheckpointFolder, CheckpointWriter
from hpo.trial import HParams, Run
from tests.engine.samples import a_training
from tests.study.executors.test_conformance import DATA, THESE, THOSE, data_of, put
from tests.study.loop.test_driver import MemoryJournal

EPOCHS, TRIALS = 4, 6
SPACE = SearchSpace((Dimension("optimizer.learning_rate", Float(1e-3, 1e-1, log=True)),))


def curves(folder: Path, own_data: bool) -> list[list[dict[str, float]]]:
    """What trials report: every other one on other data, or all of them on the same."""
    journal = MemoryJournal()

    def prepare(hparams: HParams, number: int) -> Work:
        training = fill(a_training(), hparams, number)
        program, knobs = split(training, DATA["t"], "cpu")
        return Work(training, program, knobs, THOSE if own_data and number % 2 else THESE)

    rules = Rules(
        sampler=RandomSearch(SPACE, 0),
        scheduler_for=lambda trials: make_scheduler(
            SuccessiveHalving(name="successive_halving", eta=2), EPOCHS, trials
        ),
        trials=TRIALS,
        epochs=EPOCHS,
        is_learning=False,
    )
    executor = local_executor(local_devices("cpu")[:1], folder / "programs", data_of)
    with CheckpointWriter(CheckpointFolder(folder / "checkpoints")) as writer:
        driver = Driver(
            rules, journal, executor, States(writer), prepare, Plans(Plan("map", 4)), 3600.0
        )
        assert driver.run(lambda: False, lambda: None) == "finished"
    executor.close()
    return [journal.state.metrics[trial] for trial in range(TRIALS)]


def test_trials_that_share_a_program_train_each_on_its_own_data(tmp_path: Path) -> None:
    apart, same = curves(tmp_path, own_data=True), curves(tmp_path, own_data=False)
    for trial in range(TRIALS):
        # The scheduler lets other trials go on, but all of them train a first epoch.
        assert (apart[trial][0] == same[trial][0]) == (trial % 2 == 0)


def test_states_that_wait_for_a_program_are_given_back_on_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, end = threading.Event(), threading.Event()

    def compile_(*_: Any) -> NoReturn:
        begun.set()
        end.wait()
        raise RuntimeError("never heard")

    monkeypatch.setattr(Compiler, "compile", compile_)
    executor = local_executor(local_devices("cpu")[:2], tmp_path, data_of)
    waiting = State(Run(7), 2, 3, {"weight": np.ones(2)})
    program = split(a_training(), DATA["t"], "cpu")[0]
    load = Load(program, Plans(Plan("map", 4)), THESE)
    orders = [load, put(0, 7, state=waiting), put(1, 8), Take(0), Take(1)]
    executor.send(1, orders)
    begun.wait()
    try:
        looks = []
        assert executor.compiling() == 1
        executor.close(lambda: looks.append(executor.compiling()))
        assert executor.receive(0.1) == [Taken(1, (waiting,), is_snapshot=False)]
        assert set(looks) == {1}
        executor.close()  # as a study does at its end
    finally:
        end.set()
