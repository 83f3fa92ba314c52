"""The process beside the driver, spoken to as a driver does."""

import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.study.executors.scripts import TRAINS, launch, settings


@pytest.fixture
def start(tmp_path):
    started = []

    def begin():
        code = "from hpo.study.executors.supervisor import main; main()"
        words = [sys.executable, "-c", code, json.dumps(asdict(settings(tmp_path)))]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        started.append(subprocess.Popen(words, **pipes))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def tell(process, **order):
    process.stdin.write(json.dumps(order).encode() + b"\n")
    process.stdin.flush()


def put(process, tmp_path, script, lane=0):
    started = asdict(launch(tmp_path / str(lane), script, 3))
    order = {"order": "put", "pool": 0, "lane": lane, "run": str(lane), "epoch": 0, "to_epoch": 3}
    tell(process, **order, launch=started)


def test_it_speaks_in_lines_of_json_and_ends_when_it_is_closed(start, tmp_path):
    process = start()
    put(process, tmp_path, TRAINS)
    epochs = []
    while len(epochs) < 3:
        epochs += json.loads(process.stdout.readline())["epochs"]
    assert epochs == [{"loss": 0.1}, {"loss": 0.2}, {"loss": 0.3}]
    tell(process, order="close")
    assert process.wait(10) == 0


def test_results_that_were_printed_before_the_driver_was_gone_are_kept(start, tmp_path):
    process = start()
    put(process, tmp_path, "echo epoch=1 loss=0.5; touch ../printed; sleep 60")
    until = time.monotonic() + 10
    while not (tmp_path / "printed").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    process.stdin.close()
    process.wait(10)
    lines = (tmp_path / "0" / "results.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["metrics"] == {"loss": 0.5}


def test_a_second_one_waits_until_the_first_has_ended_its_commands(start, tmp_path):
    first = start()
    put(first, tmp_path, "echo loss=1; sleep 60")
    first.stdout.readline()
    second = start()
    put(second, tmp_path, "echo loss=2; echo loss=2; echo loss=2", lane=1)
    first.stdin.close()
    assert json.loads(second.stdout.readline())["run"] == "1"
    assert first.wait(10) == 0
    assert not Path("/proc", str(first.pid)).exists()
