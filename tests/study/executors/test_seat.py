"""What a lane does with the run that it is given, before and after its command runs."""

import os
import selectors
import time
from dataclasses import asdict

import pytest

from hpo.study.executors.seat import Seat
from hpo.study.executors.staying import Waiting
from tests.study.executors.scripts import launch, settings


@pytest.fixture(autouse=True)
def _no_fork(monkeypatch):
    """JAX warns of forks, and may be in use by other tests; a supervisor does not import it."""
    monkeypatch.setattr("hpo.study.executors.process_group._begin", None)


def a_seat(tmp_path, script, to_epoch=2, **parts):
    put = {"run": "7", "epoch": 0, "to_epoch": to_epoch}
    put["launch"] = asdict(launch(tmp_path / "7", script, 3))
    return Seat(put, settings(tmp_path, **parts), selectors.DefaultSelector(), Waiting())


def test_a_run_whose_results_are_known_starts_no_command_before_it_needs_one(tmp_path):
    (tmp_path / "7").mkdir()
    line = '{"metrics": {"loss": 0.5}, "seconds": 1.5}\n'
    (tmp_path / "7" / "results.jsonl").write_text(2 * line)
    seat = a_seat(tmp_path, "exit 1")
    (message,) = seat.look(time.monotonic(), {})
    epochs = [{"loss": 0.5}, {"loss": 0.5}]
    reported = {"say": "reported", "run": "7", "first": 1, "epochs": epochs, "seconds": 3.0}
    assert message == reported
    assert not seat.is_alive
    seat.extend(3)
    assert list(seat.look(time.monotonic(), {})) == []
    assert seat.is_alive
    seat.reaped(*os.waitpid(-1, 0))
    list(seat.look(time.monotonic(), {}))
    assert not seat.is_alive


def test_a_run_that_is_taken_gives_its_state_and_leaves(tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "results.jsonl").write_text('{"metrics": {"loss": 0.5}, "seconds": 1.5}\n')
    seat = a_seat(tmp_path, "exit 1", to_epoch=1)
    list(seat.look(time.monotonic(), {}))
    seat.leave("take")
    (message,) = seat.look(time.monotonic(), {})
    assert message["states"] == [{"run": "7", "epoch": 1, "folder": str(tmp_path / "7")}]
    assert not message["keeps"]
    assert seat.has_left


def test_the_checkpoint_of_a_run_that_was_cut_short_is_deleted(tmp_path):
    for total_told, is_kept in ((1, False), (3, True)):
        folder = tmp_path / str(total_told)
        (folder / "7" / "checkpoint").mkdir(parents=True)
        line = '{"metrics": {"loss": 0.5}, "seconds": 1.5}\n'
        (folder / "7" / "results.jsonl").write_text(total_told * line)
        seat = a_seat(folder, "exit 1", to_epoch=total_told)
        list(seat.look(time.monotonic(), {}))
        seat.leave("clear")
        assert list(seat.look(time.monotonic(), {})) == []
        assert (folder / "7" / "checkpoint").exists() == is_kept
