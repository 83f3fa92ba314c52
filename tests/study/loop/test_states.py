"""The states of runs that are not in a lane, in memory and on disk."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from hpo.study.executors.messages import State
from hpo.study.log.events import Checkpoint
from hpo.study.loop.states import States
from hpo.study.storage.checkpoints import CheckpointFolder, CheckpointWriter
from hpo.trial import Run


def a_state(trial: int, epoch: int = 3, step: int = 0, value: float = 1.0) -> State:
    return State(Run(trial), epoch, step, {"w": np.full(2, value, np.float32)})


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[CheckpointWriter]:
    with CheckpointWriter(CheckpointFolder.beside(f"sqlite:///{tmp_path}/hpo.db", "s")) as writer:
        yield writer


def told(state: State | None) -> tuple[int, list[float]] | None:
    """The whole epochs of a state, and its values."""
    return None if state is None else (state.epoch, state.arrays["w"].tolist())


def test_a_state_in_memory_is_found_once(writer: CheckpointWriter) -> None:
    states = States(writer)
    states.hold(a_state(0, value=7.0))
    assert told(states.find(Run(0), None)) == (3, [7.0, 7.0])
    assert states.find(Run(0), None) is None


def test_a_state_on_disk_is_found_after_a_resume(writer: CheckpointWriter) -> None:
    states = States(writer)
    states.hold(a_state(0, value=7.0))
    states.save()
    (checkpoint,) = states.written(wait=True)
    assert (checkpoint.run, checkpoint.epoch) == (Run(0), 3)
    assert told(States(writer).find(Run(0), checkpoint)) == (3, [7.0, 7.0])


def test_a_checkpoint_that_is_gone_means_training_from_the_start(writer: CheckpointWriter) -> None:
    gone = Checkpoint(3, "0-3.safetensors", "abc", Run(0))
    assert States(writer).find(Run(0), gone) is None


def test_a_state_is_written_once_for_its_progress(writer: CheckpointWriter) -> None:
    states = States(writer)
    states.save([a_state(0)])
    states.save([a_state(0)])
    assert len(states.written(wait=True)) == 1
    states.save([a_state(0, step=1)])
    assert len(states.written(wait=True)) == 1
    assert states.written(wait=True) == []


def test_what_does_not_fit_the_memory_is_on_disk_first(writer: CheckpointWriter) -> None:
    states = States(writer, memory_bytes=16)  # of two states
    for trial in range(2):
        states.hold(a_state(trial))
    assert states.written(wait=True) == []
    states.hold(a_state(2))
    (checkpoint,) = states.written(wait=True)
    assert checkpoint.run == Run(0)
    states.hold(a_state(3))  # now the first one may leave the memory
    assert states.find(Run(0), None) is None
    assert told(states.find(Run(0), checkpoint)) == (3, [1.0, 1.0])
    assert told(states.find(Run(3), None)) == (3, [1.0, 1.0])


class FullDisk:
    """A writer whose writes fail."""

    def submit(self, *_: object) -> Future[None]:
        future: Future[None] = Future()
        future.set_result(None)
        return future


def test_a_state_that_could_not_be_written_stays_and_is_tried_again() -> None:
    states = States(FullDisk(), memory_bytes=0)  # type: ignore[arg-type]
    states.hold(a_state(0))
    assert states.written() == []
    states.save()
    assert states.written() == []
    assert told(states.find(Run(0), None)) == (3, [1.0, 1.0])


def test_a_copied_state_replaces_the_own_one_and_its_writes(writer: CheckpointWriter) -> None:
    states = States(writer)
    states.hold(a_state(0, value=7.0))
    states.hold(a_state(1, epoch=2))
    states.save()
    states.copy(Run(0), Run(1))
    assert [checkpoint.run for checkpoint in states.written(wait=True)] == [Run(0)]
    assert told(states.find(Run(1), None)) == (3, [7.0, 7.0])
    assert told(states.find(Run(0), None)) == (3, [7.0, 7.0])


def test_the_state_of_an_ended_run_is_forgotten(writer: CheckpointWriter) -> None:
    states = States(writer)
    states.hold(a_state(0))
    states.forget(Run(0))
    assert states.find(Run(0), None) is None
