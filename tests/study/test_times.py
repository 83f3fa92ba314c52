"""Where the time of a run goes: whole studies, and the threads that drive them."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest

from hpo.engine.stopwatch import Stopwatch
from hpo.study.log.events import Times
from hpo.study.storage.tables import Storage
from hpo.study.times import ACTIVITIES, RunTimes, TimedExecutor, TimedJournal, TimedSampler
from tests.study.whole import Studies, an_experiment


def stored_times(studies: Studies, name: str) -> list[Times]:
    with Storage.read(studies.url) as storage:
        events = storage.events(storage.study(name).id)
    return [event.what for event in events if isinstance(event.what, Times)]


def test_the_times_of_a_run_are_stored_and_each_thread_adds_up_to_the_whole(
    tmp_path: Path, compile_cache: Path
) -> None:
    studies, experiment = Studies(tmp_path, compile_cache), an_experiment("train.lanes=2")
    began = time.monotonic() - 3.0
    studies.run(experiment, began=began, profile=tmp_path / "trace")
    elapsed = time.monotonic() - began

    *_, times = stored_times(studies, experiment.name)
    assert list(times.threads) == ["pool 0", "pool 1", "writer", "driver"]
    assert {activity for seconds in times.threads.values() for activity in seconds} <= {*ACTIVITIES}
    totals = [sum(seconds.values()) for seconds in times.threads.values()]
    assert totals == pytest.approx([totals[0]] * 4, abs=0.1)
    assert all(3.0 < total <= elapsed + 0.01 for total in totals)
    assert all(seconds["start_up"] >= 3.0 for seconds in times.threads.values())
    pool = times.threads["pool 0"]
    assert {"compiling", "training", "evaluating", "moving", "feeding"} <= pool.keys()
    # A quarter as many rows are evaluated as trained on, and those cost three times as much.
    assert 0.02 < pool["evaluating"] / (pool["evaluating"] + pool["training"]) < 0.3
    assert {"sampling", "deciding", "storing", "waiting"} <= times.threads["driver"].keys()

    (said,) = studies.said
    (trace,) = (tmp_path / "trace").rglob("perfetto_trace.json.gz")
    assert str(trace) in said
    assert {"round", "put"} <= {
        event.get("name")
        for event in json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    }


def test_a_run_notes_its_times_more_and_more_rarely() -> None:
    recorded: list[Any] = []

    class Journal:
        state = None

        def record(self, what: Any, trial: int | None = None) -> None:
            recorded.append(what)

        def flush(self) -> None: ...

    times = RunTimes(time.monotonic() - 4.0)
    times.keep(Journal())  # type: ignore[arg-type]
    assert recorded == []
    times = RunTimes(time.monotonic() - 100.0)
    for _ in range(3):
        times.keep(Journal())  # type: ignore[arg-type]
    (told,) = recorded
    assert told.threads["driver"]["start_up"] == pytest.approx(100.0, abs=1.0)


def test_each_call_of_the_driver_counts_as_its_own_activity() -> None:
    class Everything:
        pools, state = 1, None

        def __getattr__(self, name: str) -> Any:
            return lambda *_: during.append(next(reversed(watch.seconds())))

    during: list[str] = []
    watch = Stopwatch("deciding")
    fake: Any = Everything()
    TimedSampler(fake, watch).ask([], 1)
    journal, executor = TimedJournal(fake, watch), TimedExecutor(fake, watch)
    journal.record(Times({}))
    journal.flush()
    executor.send(0, [])
    executor.receive(0.1)
    executor.clocks()
    executor.program_times()
    executor.close()
    assert {"sampling", "storing", "waiting", "deciding"} == {*watch.seconds()}
    assert len(during) == 8
