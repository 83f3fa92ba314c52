"""What a driver may expect of every executor."""

from __future__ import annotations

import json
import random
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.data.dataset import DataSet, Split
from hpo.engine.devices import local_devices
from hpo.engine.pools.occupant import EpochReport
from hpo.engine.program import Program, split
from hpo.engine.programs.plans import Plan, Plans
from hpo.spec.experiment import Training
from hpo.study.executors.local import LocalExecutor, local_executor
from hpo.study.executors.messages import (
    Clear,
    Copy,
    DataReference,
    Executor,
    Extend,
    Failed,
    Load,
    Loaded,
    Message,
    Order,
    Put,
    Refused,
    Reported,
    Snapshot,
    State,
    Take,
    Taken,
)
from hpo.study.executors.processes import Launch, ProcessExecutor, folder_of
from hpo.study.storage.checkpoints import CheckpointFolder
from hpo.trial import Run
from tests.engine.samples import a_training, tiny_data
from tests.study.executors.in_memory import InMemoryExecutor
from tests.study.executors.scripts import launch_words, settings

LANES, EPOCHS = 3, 4


def other_data() -> DataSet:
    """Data of the same shapes as `tiny_data`, whose labels are swapped."""
    data = tiny_data()

    def swapped(rows: Any) -> Any:
        return Split({**rows.arrays, "y": 2 - rows.y})

    train, validation = swapped(data.train), swapped(data.validation)
    return replace(data, train=train, validation=validation, fingerprint="u")


DATA = {data.fingerprint: data for data in (tiny_data(), other_data())}
THESE, THOSE = (DataReference(a_training().data, name) for name in ("t", "u"))
PROGRAM: Program = split(a_training(), DATA["t"], "cpu")[0]


def data_of(reference: DataReference) -> DataSet:
    return DATA[reference.fingerprint]


def learn(
    program: Program, data: DataReference, put: Put, epoch: int, weight: float
) -> tuple[dict[str, float], float]:
    """Every epoch leaves its mark on the weight, and so do the trial, the knobs and the data."""
    knobs = [k for after, k in ((0, put.knobs), *put.changes) if after < epoch][-1]
    drawn = put.training.train.stream + float(knobs.sum()) + len(data.fingerprint + program.label)
    weight = float(np.float32(0.9 * weight + drawn + ord(data.fingerprint[-1])))
    return {"accuracy": weight, "loss": 1 / weight, "train_loss": 1 / weight}, weight


class Talk:
    """A conversation with an executor: its reports by trial, its states, and all that it said."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.said: list[Message] = []

    def order(self, pool: int, *orders: Order) -> None:
        self.executor.send(pool, orders)

    def hear(self, is_enough: Callable[[], bool]) -> None:
        for _ in range(2000):
            if is_enough():
                return
            self.said += self.executor.receive(0.05)
            failed = [message.error for message in self.said if isinstance(message, Failed)]
            assert not failed, failed
        raise AssertionError(f"not enough was said: {self.said}")

    def load(self, pool: int = 0, data: DataReference = THESE, lanes: int = LANES) -> None:
        known = len(self.all(Loaded))
        self.order(pool, Load(PROGRAM, Plans(Plan("map", lanes)), data))
        self.hear(lambda: len(self.all(Loaded)) > known)

    def train(self, trial: int, epochs: int) -> list[dict[str, float]]:
        """Wait until a trial has reported this many epochs; gives its metrics."""
        self.hear(lambda: len(self.reports(trial)) >= epochs)
        return [report.metrics for report in self.reports(trial)]

    def take(self, lane: int, pool: int = 0) -> State:
        known = len(self.states)
        self.order(pool, Take(lane))
        self.hear(lambda: len(self.states) > known)
        return self.states[-1]

    def all(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.said if isinstance(message, kind)]

    def reports(self, trial: int) -> list[EpochReport]:
        return [r for m in self.all(Reported) for r in m.reports if r.run == Run(trial)]

    @property
    def states(self) -> list[State]:
        return [s for m in self.all(Taken) if not m.is_snapshot for s in m.states]


def put(lane: int, trial: int, to_epoch: int = EPOCHS, **parts: Any) -> Put:
    training: Training = a_training(trial)
    return Put(
        **{
            "lane": lane,
            "run": Run(trial),
            "training": training,
            "knobs": split(training, DATA["t"], "cpu")[1],
            "state": None,
            "to_epoch": to_epoch,
            **parts,
        }
    )


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(params=["local", "in memory", "processes"])
def talk(request: pytest.FixtureRequest, compiled: Path, tmp_path: Path) -> Iterator[Talk]:
    executor: Executor
    if request.param == "local":
        executor = local_executor(local_devices("cpu")[:2], compiled, data_of)
    elif request.param == "processes":
        executor = scripts(tmp_path)
    else:
        executor = InMemoryExecutor(2, random.Random(0), learn, fits=8)
    yield Talk(executor)
    executor.close()


# What a trial of `scripts` runs: `learn`, one epoch after the other, from its checkpoint on.
SCRIPT = """
import json, os, pathlib
put, file = json.loads(os.environ["PUT"]), pathlib.Path(os.environ["HPO_CHECKPOINT_DIR"]) / "w"
epoch, weight = json.loads(file.read_text()) if file.exists() else (0, 0.0)
while epoch < put["epochs"]:
    epoch, weight = epoch + 1, 0.9 * weight + put["drawn"]
    print(json.dumps({"epoch": epoch, "accuracy": weight}))
    new = file.with_suffix(".new")  # it may be killed while it writes
    new.write_text(json.dumps([epoch, weight]))
    new.replace(file)
"""


def scripts(folder: Path) -> Executor:
    """An executor of scripts; a run without a state has a folder that is new."""

    def started(order: Put, loaded: Load) -> Launch:
        here = folder_of(order.state) if order.state else f"{folder}/{uuid.uuid4()}"
        drawn = order.training.train.stream + float(order.knobs.sum())
        drawn += ord(loaded.data.fingerprint[-1])
        put = json.dumps({"epochs": EPOCHS, "drawn": drawn})
        return launch_words(Path(here), [sys.executable, "-c", SCRIPT], EPOCHS, {"PUT": put})

    own = settings(folder, metrics=["accuracy"])
    return ProcessExecutor(own, started, lambda _: None, pools=2)


def alone(talk: Talk, data: DataReference = THESE, trial: int = 7) -> list[dict[str, float]]:
    """The metrics of a trial without neighbours or a pause."""
    talk.load(1, data)
    known = len(talk.reports(trial))
    talk.order(1, put(0, trial))
    talk.hear(lambda: len(talk.reports(trial)) == known + EPOCHS)
    return [report.metrics for report in talk.reports(trial)[known:]]


def test_a_trial_reports_every_epoch_once_and_in_order(talk: Talk) -> None:
    talk.load()
    talk.order(0, put(0, 7), put(2, 8, to_epoch=2))
    talk.train(7, EPOCHS)
    talk.train(8, 2)
    assert [report.epoch for report in talk.reports(7)] == [1, 2, 3, 4]
    assert [report.epoch for report in talk.reports(8)] == [1, 2]
    assert sum(message.epochs for message in talk.all(Reported)) == pytest.approx(6)
    assert {message.pool for message in talk.said} == {0}


def test_a_pool_says_by_which_plan_it_runs_its_program(talk: Talk) -> None:
    talk.load()
    (loaded,) = talk.all(Loaded)
    assert (loaded.pool, loaded.program, loaded.plan.lanes) == (0, PROGRAM, LANES)


def test_a_trial_that_is_extended_goes_on_as_if_it_had_not_stopped(talk: Talk) -> None:
    talk.load()
    talk.order(0, put(0, 7, to_epoch=1))
    talk.train(7, 1)
    talk.order(0, Extend(0, EPOCHS))
    assert talk.train(7, EPOCHS) == alone(talk)


def test_a_state_goes_on_in_another_pool_and_after_it_was_a_file(
    talk: Talk, tmp_path: Path
) -> None:
    talk.load()
    talk.order(0, put(1, 7, to_epoch=2))
    talk.train(7, 2)
    state = talk.take(1)
    assert (state.run, state.epoch, state.step) == (Run(7), 2, 0)
    folder = CheckpointFolder(tmp_path)
    arrays = folder.load(*folder.save(Run(7), state.epoch, state.arrays))
    assert arrays is not None
    assert {name: a.dtype for name, a in arrays.items()} == {
        name: a.dtype for name, a in state.arrays.items()
    }

    talk.load(1)
    talk.order(1, put(0, 7, state=replace(state, arrays=arrays)))
    curve = talk.train(7, EPOCHS)
    assert [report.epoch for report in talk.reports(7)] == [1, 2, 3, 4]
    assert curve == alone(talk)


def test_a_snapshot_leaves_the_lanes_as_they_are(talk: Talk) -> None:
    talk.load()
    talk.order(0, put(0, 7, to_epoch=2), put(1, 8, to_epoch=1))
    talk.train(7, 2)
    talk.train(8, 1)
    talk.order(0, Snapshot())
    talk.hear(lambda: len(talk.all(Taken)) == 1)
    (taken,) = talk.all(Taken)
    assert taken.is_snapshot
    assert {(state.run, state.epoch) for state in taken.states} == {(Run(7), 2), (Run(8), 1)}
    talk.order(0, Extend(0, EPOCHS))
    assert talk.train(7, EPOCHS) == alone(talk)


def test_a_trial_goes_on_from_the_state_of_another_with_its_own_knobs(talk: Talk) -> None:
    if isinstance(talk.executor, ProcessExecutor):
        pytest.skip("a command does not go on from the state of another trial")
    talk.load()
    talk.order(0, put(0, 7, to_epoch=2), put(1, 8, to_epoch=1))
    talk.train(7, 2)
    talk.train(8, 1)
    first, then = put(0, 7).knobs, put(0, 7).knobs * np.float32(0.5)
    talk.order(0, Copy(1, 0, first, ((2, then),)), Extend(1, EPOCHS), Extend(0, EPOCHS))
    copied = talk.train(8, 1 + EPOCHS - 2)[1:]
    own = talk.train(7, EPOCHS)
    assert [report.epoch for report in talk.reports(8)] == [1, 3, 4]
    assert copied != own[2:]

    talk.load(1)
    talk.order(1, put(0, 9, training=a_training(7), changes=((2, then),)))
    assert talk.train(9, EPOCHS)[2:] == copied


def test_orders_for_an_empty_lane_are_without_effect(talk: Talk) -> None:
    talk.load()
    talk.order(0, Take(0), Clear(1), Extend(2, 3), Copy(0, 1, put(0, 7).knobs, ()), Snapshot())
    talk.hear(lambda: len(talk.all(Taken)) == 1)
    assert talk.all(Taken)[0].states == ()


def test_a_lane_that_is_cleared_takes_another_trial(talk: Talk) -> None:
    talk.load()
    talk.order(0, put(0, 8, to_epoch=1))
    talk.train(8, 1)
    talk.order(0, Clear(0), put(0, 7))
    assert talk.train(7, EPOCHS) == alone(talk)


def test_a_trial_beyond_the_last_lane_is_refused(talk: Talk) -> None:
    talk.load()
    talk.order(0, put(LANES + 5, 7))
    talk.hear(lambda: bool(talk.all(Refused)))
    assert talk.all(Refused) == [Refused(0, (Run(7),))]


def test_one_program_trains_each_trial_on_its_own_data(talk: Talk) -> None:
    these, those = alone(talk, THESE), alone(talk, THOSE)
    assert these != those
    talk.load(0, THESE)
    talk.load(1, THOSE)
    known = len(talk.reports(7))
    talk.order(0, put(0, 7))
    talk.hear(lambda: len(talk.reports(7)) == known + EPOCHS)
    talk.order(1, put(0, 7))
    talk.hear(lambda: len(talk.reports(7)) == known + 2 * EPOCHS)
    curve = [report.metrics for report in talk.reports(7)[known:]]
    assert (curve[:EPOCHS], curve[EPOCHS:]) == (these, those)
    talk.load(0, THOSE)
    talk.order(0, put(0, 7))
    talk.hear(lambda: len(talk.reports(7)) == known + 3 * EPOCHS)
    assert [report.metrics for report in talk.reports(7)[-EPOCHS:]] == those


def test_what_was_ordered_before_the_close_is_answered(talk: Talk) -> None:
    talk.load()
    talk.order(0, put(0, 7, to_epoch=1))
    talk.train(7, 1)
    talk.order(0, Take(0))
    talk.executor.close()
    talk.hear(lambda: len(talk.states) == 1)


def test_an_executor_tells_where_its_time_went(talk: Talk) -> None:
    talk.load()
    talk.order(0, put(0, 7))
    talk.train(7, EPOCHS)
    clocks, times = talk.executor.clocks(), talk.executor.program_times()
    assert len(clocks) == talk.executor.pools
    assert all(s >= 0 for clock in clocks.values() for s in clock.seconds.values())
    assert all(seconds > 0 for _, seconds in (*times.compile_seconds, *times.part_seconds))
    if isinstance(talk.executor, LocalExecutor):
        assert [program for program, _ in times.part_seconds] == [PROGRAM]
