"""Searches killed for real, stopped by signals, and started twice."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

import hpo
from tests.conftest import Result
from tests.own_code import write_net
from tests.processes import Process
from tests.study.conftest import optuna_storage

SPEC = """
name: flowers
data: {dataset: iris, validation: 40, test: 0, batch_size: 16}
model: {name: mlp, widths: [16], dropout: 0.1}
optimizer: {name: adamw, learning_rate: 1.0e-3, schedule: {name: cosine}}
train: {epochs: 27}
space:
  model.dropout: {float: [0.0, 0.5]}
  model.widths: {choice: [[16], [8, 8]]}
  optimizer.learning_rate: {float: [1.0e-4, 1.0e-1], log: true}
search:
  sampler: {name: random}
  scheduler: {name: SCHEDULER}
  objective: {maximize: accuracy}
  baselines: false
  trials: 30
study: {checkpoint_seconds: 0.2}
"""

pytestmark = pytest.mark.long

BASELINES = "select value from hpo_events where kind = 'baseline' order by seq"
Hpo = Callable[..., Result]
PROCESSES: list[Process] = []


@pytest.fixture(autouse=True)
def _no_process_outlives_its_test() -> Iterator[None]:
    yield
    while PROCESSES:
        process = PROCESSES.pop()
        process.kill()
        process.communicate()


class Study:
    """A study in a folder, driven by processes of its own."""

    def __init__(self, folder: Path, scheduler: str = "hyperband") -> None:
        folder.mkdir()
        self.folder, self.database = folder, folder / "hpo.db"
        (folder / "flowers.yaml").write_text(SPEC.replace("SCHEDULER", scheduler))

    def start(self, *command: str) -> Process:
        command = command or ("search", "flowers.yaml")
        process = Process(self.folder, *command)
        PROCESSES.append(process)
        return process

    def finish(self, *command: str) -> str:
        process = self.start(*command)
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        return output

    def wait_for(self, count: int, kind: str = "report") -> None:
        """Until the log holds that many events of a kind."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if (
                    self.rows(f"select count(*) from hpo_events where kind = '{kind}'")[0][0]
                    >= count
                ):
                    return
            except sqlite3.OperationalError:
                pass  # not there yet
            time.sleep(0.01)
        raise AssertionError(f"no {count} events of kind {kind} in a minute")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    @property
    def reports(self) -> list[tuple[object, ...]]:
        """Every report as (trial, epoch, metrics as they were written)."""
        return self.rows(
            "select trial, epoch, value from hpo_events where kind = 'report' order by 1, 2"
        )

    @property
    def hparams(self) -> dict[object, object]:
        return {
            trial: json.loads(str(value))["hparams"]
            for trial, value in self.rows(
                "select trial, value from hpo_events where kind = 'propose' order by trial"
            )
        }

    @property
    def ends(self) -> list[tuple[object, ...]]:
        return self.rows("select trial, value from hpo_events where kind = 'end' order by trial")


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study that was never stopped."""
    study = Study(tmp_path_factory.mktemp("calm") / "study")
    study.finish()
    return study


def test_a_search_killed_again_and_again_ends_like_one_never_killed_and_optuna_reads_it(
    tmp_path: Path, calm: Study
) -> None:
    study = Study(tmp_path / "study")
    rng = random.Random(1)
    # Moments by the reports in the log: whatever the machine's speed is.
    for moment in sorted(rng.sample(range(1, len(calm.reports) * 3 // 4), 2)):
        process = study.start()
        study.wait_for(moment)
        process.kill()
        process.communicate()
    study.finish()
    assert study.reports == calm.reports
    assert study.hparams == calm.hparams
    assert study.ends == calm.ends
    assert len(study.hparams) == 30

    curves: dict[object, dict[int, float]] = {number: {} for number in range(30)}
    for trial, epoch, value in study.reports:
        assert isinstance(epoch, int)
        curves[trial][epoch] = json.loads(str(value))["accuracy"]
    storage = optuna_storage(f"sqlite:///{study.database}")
    found = optuna.load_study(study_name="flowers", storage=storage).trials
    assert {trial.number: trial.intermediate_values for trial in found} == curves


KEEPS = SPEC.replace("  trials: 30", "  trials: 30\n  keep_weights: 3")


def test_a_killed_search_has_kept_the_weights_of_its_best_trials(tmp_path: Path) -> None:
    study = Study(tmp_path / "study")
    (study.folder / "flowers.yaml").write_text(KEEPS.replace("SCHEDULER", "none"))
    process = study.start()
    study.wait_for(4, "end")
    process.kill()
    process.communicate()
    study.finish()
    stored = hpo.Study("flowers", f"sqlite:///{study.database}")
    best = [trial.number for trial in stored.top(3)]
    folder = study.folder / "hpo.db.weights" / "flowers"
    kept = {int(path.name.partition("-")[0]) for path in folder.iterdir()}
    assert kept == {*best}
    assert all(stored.kept(number).read() is not None for number in kept)

    process = study.start("train", "flowers.yaml", "-o", "model")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert f"Uses the weights that the search kept for trial {best[0]}" in errors
    found = hpo.load(study.folder / "model").metrics["validation"]
    assert found is not None
    assert stored.best is not None
    assert found["accuracy"] == stored.best.value


OWN = SPEC.replace("trials: 30", "trials: 8").replace("epochs: 27", "epochs: 9")
OWN = OWN.replace("{name: mlp, widths: [16], dropout: 0.1}", "{python: 'nets.py:Net', scale: 1.0}")
OWN = OWN.replace("model.dropout", "model.rate").replace(
    "model.widths: {choice: [[16], [8, 8]]}", "model.gain: {float: [0.5, 2.0]}"
)


def test_a_killed_search_of_an_own_model_goes_on_to_the_same_results(tmp_path: Path) -> None:
    studies = []
    for name in ("never", "once"):
        study = Study(tmp_path / name, "none")
        (study.folder / "flowers.yaml").write_text(OWN.replace("SCHEDULER", "none"))
        write_net(study.folder)
        studies.append(study)
    calm, killed = studies
    calm.finish()

    process = killed.start()
    killed.wait_for(20)
    process.kill()
    process.communicate()
    killed.finish("resume", "flowers")

    assert killed.reports == calm.reports
    assert killed.ends == calm.ends
    assert len(calm.reports) == 8 * 9


NORMED = SPEC.replace("widths: [16],", "widths: [16], norm: batch,").replace(
    "epochs: 27", "epochs: 300"
)
NORMED = NORMED.replace("trials: 30", "trials: 2").replace(
    "choice: [[16], [8, 8]]", "choice: [[16]]"
)
NORMED = NORMED.replace("checkpoint_seconds: 0.2", "checkpoint_seconds: 0.05")
PRUNED = NORMED.replace(
    "space:",
    """compression: {sparsity: {name: magnitude, begin: 0.0, end: 1.0}}
space:
  compression.sparsity.name: {choice: [magnitude, rigl]}
  compression.sparsity.share: {float: [0.3, 0.9]}""",
)


@pytest.mark.parametrize("text", [NORMED, PRUNED], ids=["batch norm", "pruning"])
def test_a_training_with_more_than_weights_killed_in_its_middle_goes_on_to_the_same_bits(
    tmp_path: Path, text: str
) -> None:
    calm, killed = (Study(tmp_path / name, "none") for name in ("never", "once"))
    for study in (calm, killed):
        (study.folder / "flowers.yaml").write_text(text.replace("SCHEDULER", "none"))
    calm.finish()

    process = killed.start()
    killed.wait_for(1, "checkpoint")
    process.kill()
    process.communicate()
    assert not killed.ends
    before = len(killed.reports)
    killed.finish("resume", "flowers")

    assert 0 < before < len(calm.reports) == 2 * 300
    assert killed.reports == calm.reports
    assert killed.ends == calm.ends


CARRIED = NORMED.replace("epochs: 300", "epochs: 300, precision: float16")
CARRIED += """
sampling: {name: importance, temperature: 2.0}
"""
CARRIED = CARRIED.replace(
    "space:",
    """space:
  train.average.name: {choice: [ema, swa]}
  train.average.decay: {float: [0.9, 0.99], when: {train.average.name: ema}}
  train.average.start: {float: [0.05, 0.1], when: {train.average.name: swa}}""",
)


def test_averages_loss_scales_and_importance_weights_go_on_to_the_same_bits_after_a_kill(
    tmp_path: Path,
) -> None:
    calm, killed = (Study(tmp_path / name, "none") for name in ("never", "once"))
    for study in (calm, killed):
        (study.folder / "flowers.yaml").write_text(CARRIED.replace("SCHEDULER", "none"))
    calm.finish()
    names = {values["train.average.name"] for values in calm.hparams.values()}
    assert names == {"ema", "swa"}

    process = killed.start()
    killed.wait_for(4, "checkpoint")
    process.kill()
    process.communicate()
    assert not killed.ends
    before = {trial for trial, *_ in killed.reports}
    killed.finish("resume", "flowers")

    assert before == {0, 1}
    assert len(calm.reports) == 2 * 300
    assert killed.reports == calm.reports
    assert killed.ends == calm.ends


def test_a_stopped_search_says_how_to_resume_and_repeats_no_epoch(
    tmp_path: Path, calm: Study
) -> None:
    for number in range(3):
        study = Study(tmp_path / f"study{number}")
        process = study.start()
        study.wait_for(1)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
        if process.returncode:  # a busy machine may let the search end first
            break
    assert process.returncode == 143
    assert "hpo resume flowers" in output
    assert study.rows("select value from hpo_events where kind = 'stop'") == [
        ('{"reason": "interrupted"}',)
    ]
    study.finish("resume", "flowers")
    assert study.reports == calm.reports


def test_the_database_alone_is_enough_to_resume(
    tmp_path: Path, calm: Study, hpo: Hpo, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(tmp_path / "study")
    process = study.start()
    study.wait_for(60)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    elsewhere = Study(tmp_path / "elsewhere")
    (elsewhere.folder / "flowers.yaml").unlink()
    shutil.copy(study.database, elsewhere.database)
    monkeypatch.chdir(elsewhere.folder)
    assert "flowers" in hpo("show", "flowers").out
    assert hpo("resume", "flowers").code == 0
    assert elsewhere.reports == calm.reports
    assert hpo("export", "flowers", "-o", "best.yaml").code == 0


def test_the_database_of_a_killed_search_is_enough_to_resume(
    tmp_path: Path, calm: Study, hpo: Hpo, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(tmp_path / "study")
    process = study.start()
    study.wait_for(1)
    process.kill()
    process.communicate()
    elsewhere = Study(tmp_path / "elsewhere")
    # SQLite's log beside the database is a part of it: a kill may stop their merge halfway.
    for file in study.folder.glob(f"{study.database.name}*"):
        if file.is_file():
            shutil.copy(file, elsewhere.folder)
    monkeypatch.chdir(elsewhere.folder)
    assert hpo("resume", "flowers").code == 0
    assert elsewhere.reports == calm.reports


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    study = Study(tmp_path / "study", scheduler="none")
    process = study.start()
    study.wait_for(1, kind="propose")
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGINT


def test_two_searches_of_one_study_do_not_mix(
    tmp_path: Path, hpo: Hpo, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(tmp_path / "study", scheduler="none")
    first = study.start("search", "flowers.yaml", "--trials", "100000")
    study.wait_for(1)
    monkeypatch.chdir(study.folder)
    second = hpo("search", "flowers.yaml")
    assert second.code == 2
    assert f"is being driven by process {first.pid} on {os.uname().nodename}" in second.err
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    reports = [report[:2] for report in study.reports]
    assert len(reports) == len(set(reports))


POPULATION = (
    "--set",
    "search.scheduler={name: pbt, population: 6, interval: 2}",
    "--set",
    "train.epochs=10",
    "--trials",
    "6",
)


def test_a_killed_population_ends_like_one_never_killed(tmp_path: Path) -> None:
    calm, study = Study(tmp_path / "calm"), Study(tmp_path / "study")
    calm.finish("search", "flowers.yaml", *POPULATION)
    process = study.start("search", "flowers.yaml", *POPULATION)
    study.wait_for(2, kind="exploit")
    process.kill()
    process.communicate()
    study.finish("resume", "flowers")
    exploits = "select trial, epoch, value from hpo_events where kind = 'exploit' order by 1, 2"
    assert study.reports == calm.reports
    assert study.rows(exploits) == calm.rows(exploits)
    assert len(calm.rows(exploits)) == 4


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_search_killed_beside_its_baselines_leaves_no_process_and_repeats_none(
    tmp_path: Path, calm: Study
) -> None:
    study = Study(tmp_path / "study")
    command = ("search", "flowers.yaml", "--set", "search.baselines=60")
    process = study.start(*command)
    study.wait_for(2, "baseline")
    tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
    children = [int(pid) for task in tasks for pid in task.read_text().split()]
    process.kill()
    process.communicate()

    study.finish(*command)

    assert children, "the process of the baselines"
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    stored = [json.loads(v) for (v,) in study.rows(BASELINES)]
    names = [(one["name"], one["setting"]) for one in stored if one["metrics"]]
    assert len(names) == len(set(names)) >= 7
    assert (study.hparams, study.reports, study.ends) == (calm.hparams, calm.reports, calm.ends)
