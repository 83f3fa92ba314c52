"""Times the storage of a study: trials without work, of `hpo` and of Optuna, both in one run.

Each trial has 8 hyperparameters and 9 reports. Those of `hpo` go through the driver, its journal
and a SQLite file, both the log and Optuna's tables. Only the engine is replaced by one whose epochs
take no time. Those of Optuna go through its ask, report and tell with its own SQLite storage. Then
the largest study is resumed, part by part.

    .venv/bin/python benchmarks/storage.py
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from hpo.data.dataset import DataSet, Split
from hpo.engine.pools.occupant import EpochReport
from hpo.engine.program import Program, split
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.stopwatch import Clock
from hpo.search.samplers.random import RandomSearch
from hpo.search.schedulers.make import make_scheduler
from hpo.space import Choice, Dimension, Float, Int, SearchSpace
from hpo.spec.experiment import Training
from hpo.spec.sections.goal import Goal, Objective
from hpo.spec.sections.scheduler import NoScheduler
from hpo.study.executors.messages import (
    Clear,
    DataReference,
    Load,
    Loaded,
    Message,
    Order,
    ProgramTimes,
    Put,
    Reported,
    Take,
)
from hpo.study.log.events import fold
from hpo.study.loop.deciding import Rules
from hpo.study.loop.driver import Driver
from hpo.study.loop.states import States
from hpo.study.loop.work import Work
from hpo.study.storage.checkpoints import CheckpointFolder, CheckpointWriter
from hpo.study.storage.journal import StudyJournal
from hpo.study.storage.lease import acquire
from hpo.study.storage.optuna_tables import open_mirror
from hpo.study.storage.tables import Storage
from hpo.trial import HParams

EPOCHS = 9
POOLS, LANES = 2, 8
GOAL = Goal((Objective(maximize="accuracy"),))
SPACE = SearchSpace(
    (
        Dimension("optimizer.learning_rate", Float(1e-4, 1e-1, log=True)),
        Dimension("optimizer.weight_decay", Float(1e-6, 1e-1, log=True)),
        Dimension("model.dropout", Float(0.0, 0.5)),
        Dimension("optimizer.momentum", Float(0.5, 0.99)),
        Dimension("data.batch_size", Int(16, 128)),
        Dimension("model.depth", Int(1, 8)),
        Dimension("model.activation", Choice(("relu", "gelu", "tanh"))),
        Dimension("model.norm", Choice(("none", "layer"))),
    )
)


class NoEngine:
    """Pools whose lanes train an epoch in each round, without work."""

    def __init__(self) -> None:
        self.pools = POOLS
        self._lanes: list[dict[int, list[Any]]] = [{} for _ in range(POOLS)]
        self._messages: list[Message] = []

    def send(self, pool: int, orders: Sequence[Order]) -> None:
        """Executes the orders for a pool at once."""
        lanes = self._lanes[pool]
        for order in orders:
            match order:
                case Load(program, plans):
                    self._messages.append(Loaded(pool, program, plans.usual))
                case Put(lane=lane, run=run, to_epoch=to_epoch):
                    lanes[lane] = [run, 0, to_epoch]
                case Clear(lane) | Take(lane):
                    lanes.pop(lane, None)

    def receive(self, timeout_seconds: float) -> list[Message]:
        """Run a round of every pool."""
        for pool, lanes in enumerate(self._lanes):
            reports = []
            for lane in lanes.values():
                if lane[1] < lane[2]:
                    lane[1] += 1
                    accuracy = (lane[0].trial * 7919 % 1000 + lane[1]) / 1010
                    metrics = {"loss": 1 - accuracy, "accuracy": accuracy, "train_loss": 0.5}
                    reports.append(EpochReport(lane[0], lane[1], metrics))
            if reports:
                seconds = {report.run: 0.001 for report in reports}
                self._messages.append(Reported(pool, tuple(reports), len(reports), seconds))
        messages, self._messages = self._messages, []
        return messages

    def clocks(self) -> Mapping[str, Clock]:
        """Does nothing: no thread runs."""
        return {}

    def program_times(self) -> ProgramTimes:
        """Returns nothing: no program is compiled."""
        return ProgramTimes(0, (), ())

    def close(self) -> None:
        """Nothing runs."""


def some_work() -> Work:
    """The training of every trial, because preparing real ones is not part of storage."""
    rng = np.random.default_rng(0)
    x, y = rng.random((32, 4), np.float32), rng.integers(0, 2, 32).astype(np.int32)
    rows = Split({"x": x, "y": y})
    data = DataSet("classification", rows, rows, None, 2, "none")
    training = Training.model_validate(
        {
            "data": {"dataset": "iris", "batch_size": 16},
            "model": {"name": "mlp", "widths": [4]},
            "optimizer": {"name": "sgd"},
            "train": {"epochs": EPOCHS},
        }
    )
    program: Program
    program, knobs = split(training, data, "cpu")
    reference = DataReference(training.data, data.fingerprint)
    return Work(training, program, knobs, reference, costs={"parameters": 30.0})


def search(folder: Path, trials: int) -> float:
    """The seconds of a study of `trials` trials, new or resumed, until its database is closed."""
    work = some_work()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.create_study()  # its imports are not counted on either side
    url = f"sqlite:///{folder / 'hpo.db'}"
    start = time.perf_counter()
    with Storage.create(url) as storage:
        study = storage.find("cheap")
        if study is None:
            study = storage.create_study("cheap", {"name": "cheap"}, 0, {}, "none")
        with acquire(storage, study.id) as lease:
            run(storage, study.id, lease, trials, work)
    return time.perf_counter() - start


def run(storage: Storage, study_id: int, lease: Any, trials: int, work: Work) -> None:
    """Drive a study, new or not, to its total of trials."""
    (study,) = (record for record in storage.studies() if record.id == study_id)
    state = fold(storage.events(study_id), GOAL)
    journal = StudyJournal(
        storage, study_id, state, lease, lambda: open_mirror(storage, study, SPACE, state)
    )
    rules = Rules(
        sampler=RandomSearch(SPACE, 0),
        scheduler_for=lambda n: make_scheduler(NoScheduler(name="none"), EPOCHS, n),
        trials=trials,
        epochs=EPOCHS,
        is_learning=False,
    )

    def prepare(hparams: HParams, number: int) -> Work:
        return work

    folder = CheckpointFolder(Path(str(storage.url.database) + ".checkpoints"))
    with CheckpointWriter(folder) as writer:
        plans = Plans(Plan("map", LANES))
        driver = Driver(rules, journal, NoEngine(), States(writer), prepare, plans, 3600.0)
        assert driver.run(lambda: False, lambda: None) == "finished"
        journal.flush()


def optuna_search(folder: Path, trials: int) -> float:
    """The seconds of as many trials in Optuna."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {
        "learning_rate": optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True),
        "weight_decay": optuna.distributions.FloatDistribution(1e-6, 1e-1, log=True),
        "dropout": optuna.distributions.FloatDistribution(0.0, 0.5),
        "momentum": optuna.distributions.FloatDistribution(0.5, 0.99),
        "batch_size": optuna.distributions.IntDistribution(16, 128),
        "depth": optuna.distributions.IntDistribution(1, 8),
        "activation": optuna.distributions.CategoricalDistribution(["relu", "gelu", "tanh"]),
        "norm": optuna.distributions.CategoricalDistribution(["none", "layer"]),
    }
    start = time.perf_counter()
    study = optuna.create_study(
        storage=f"sqlite:///{folder / 'optuna.db'}",
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(0),
        pruner=optuna.pruners.NopPruner(),
    )
    for number in range(trials):
        trial = study.ask(distributions)
        for epoch in range(1, EPOCHS + 1):
            trial.report((number * 7919 % 1000 + epoch) / 1010, epoch)
        study.tell(trial, (number * 7919 % 1000 + EPOCHS) / 1010)
    return time.perf_counter() - start


def resume(folder: Path) -> dict[str, float]:
    """The seconds of each part of resuming a study, and of rebuilding Optuna's tables."""
    path = folder / "hpo.db"
    seconds: dict[str, float] = {}
    start = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal start
        seconds[name] = time.perf_counter() - start
        start = time.perf_counter()

    with Storage.create(f"sqlite:///{path}") as storage:
        (study,) = storage.studies()
        lap("opening")
        events = storage.events(study.id)
        lap("reading the log")
        state = fold(events, GOAL)
        lap("folding it")
        open_mirror(storage, study, SPACE, state)
        lap("Optuna's tables, level")
    connection = sqlite3.connect(path)
    for table in ("values", "params", "intermediate_values", "user_attributes"):
        connection.execute(f"delete from trial_{table}")
    connection.execute("delete from trials")
    connection.commit()
    connection.close()
    with Storage.create(f"sqlite:///{path}") as storage:
        start = time.perf_counter()
        open_mirror(storage, study, SPACE, state)
        lap("Optuna's tables, from nothing")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--optuna-trials", type=int, default=100, help="0 for none")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()

    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    print(f"{'':12}{'trials':>8}{'seconds':>10}{'trials/s':>10}{'ms a trial':>12}")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        sides = [("hpo", n, search) for n in arguments.trials]
        if arguments.optuna_trials:
            sides.append(("Optuna", arguments.optuna_trials, optuna_search))
        for side, trials, measured in sides:
            folder = Path(name) / f"{side}-{trials}"
            folder.mkdir()
            seconds = measured(folder, trials)
            rows.append({"side": side, "trials": trials, "seconds": seconds})
            print(
                f"{side:12}{trials:8,}{seconds:10.2f}{trials / seconds:10.0f}"
                f"{1000 * seconds / trials:12.2f}"
            )
        most = max(arguments.trials)
        parts = resume(Path(name) / f"hpo-{most}")
    print(f"\nresuming the study of {most:,} trials, seconds")
    for part, seconds in parts.items():
        print(f"  {part:32}{seconds:8.2f}")
    if arguments.json:
        document = {"searches": rows, "resume": {"trials": most, "seconds": parts}}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
