"""A training that is stopped or killed goes on to the same bits."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as orbax
import pytest
import yaml

from hpo.engine.pools.occupant import EpochReport
from hpo.errors import HpoError
from hpo.study.signals import StoppedError, StopRequest
from hpo.study.train import train_to_folder
from hpo.study.unfinished import Checkpoint, Point
from hpo.trial import Run
from tests.own_tasks import a_task
from tests.processes import Process
from tests.study.whole import Studies, an_experiment

ABOUT = {"data": {"batch_size": 16}, "versions": {"jax": "0.10"}}
CURVE = [EpochReport(Run(0), 1, {"loss": 0.1 + 0.2, "accuracy": float("nan")}, {"latency_ms": 1.5})]
POINT = Point(
    {"0": CURVE, "0.1": []},
    {"0": {"params": np.array([0.1, -0.0], np.float32), "step": np.array(3, np.int32)}},
    None,
    2,
    1.25,
    "float32",
)
FILE = ".model.checkpoint.safetensors"


def kept(folder: Path) -> Checkpoint:
    checkpoint = Checkpoint(folder / "model", ABOUT, 10.0)
    assert checkpoint.keep(lambda: POINT, now=True)
    return checkpoint


def test_a_checkpoint_gives_back_all_that_it_was_given_to_the_bit(tmp_path: Path) -> None:
    found = kept(tmp_path).read(starts_over=False)
    assert found is not None
    assert repr(found.curves) == repr(POINT.curves)
    assert found.states["0"]["params"].tobytes() == POINT.states["0"]["params"].tobytes()
    assert found.states["0"]["step"] == 3
    assert replace(found, curves={}, states={}) == replace(POINT, curves={}, states={})


def test_a_checkpoint_is_written_when_it_is_time_to_and_deleted_at_the_end(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "new" / "model", ABOUT, 3600.0)
    assert checkpoint.read(starts_over=False) is None
    assert not checkpoint.keep(lambda: POINT, now=False)
    assert not (tmp_path / "new").exists()
    checkpoint.keep(lambda: POINT, now=True)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [FILE]
    checkpoint.delete()
    assert not [*(tmp_path / "new").iterdir()]


def test_a_training_of_something_else_is_refused_unless_it_starts_over(tmp_path: Path) -> None:
    other = {"data": {"batch_size": 32}, "versions": {"jax": "0.10"}}
    kept(tmp_path)
    checkpoint = Checkpoint(tmp_path / "model", other, 10.0)
    with pytest.raises(HpoError) as refused:
        checkpoint.read(starts_over=False)
    assert str(refused.value) == (
        f"{tmp_path / FILE}: holds a training that was stopped, of something else: put back what "
        "differs, or start over with --force: data.batch_size: 16 -> 32."
    )
    assert checkpoint.read(starts_over=True) is None
    assert kept(tmp_path).read(starts_over=True) is not None


@pytest.mark.parametrize("damage", ["cut", "a link", "other arrays", "a folder"])
def test_a_damaged_checkpoint_is_refused_in_a_sentence(tmp_path: Path, damage: str) -> None:
    checkpoint = kept(tmp_path)
    content = checkpoint.file.read_bytes()
    if damage == "cut":
        checkpoint.file.write_bytes(content[:-9])
    elif damage == "other arrays":
        checkpoint.file.write_bytes(content.replace(b"training", b"drainage"))
    else:
        checkpoint.file.unlink()
        if damage == "a folder":
            checkpoint.file.mkdir()
        else:
            checkpoint.file.symlink_to("/dev/zero")
    with pytest.raises(HpoError, match=r"cannot be read \(.+\): delete it, or start over with"):
        checkpoint.read(starts_over=False)


def test_a_full_disk_does_not_stop_a_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hpo.study.unfinished.write_whole", full)
    checkpoint = Checkpoint(tmp_path / "model", ABOUT, 10.0)
    assert not checkpoint.keep(lambda: POINT, now=True)
    assert not checkpoint.keep(lambda: POINT, now=True)
    (record,) = caplog.records
    assert record.getMessage().endswith(
        f"{FILE}: No space left on device; the training goes on without."
    )


@pytest.mark.parametrize("is_own", [False, True], ids=["two seeds", "a task of one's own"])
def test_a_stopped_training_says_where_it_goes_on_and_ends_like_one_never_stopped(
    studies: Studies, tmp_path: Path, is_own: bool
) -> None:
    experiment = an_experiment("train.seeds=2", train={"epochs": 6})
    if is_own:
        experiment = a_task(tmp_path, "train.epochs=6", space=None, search=None)
    calm = studies.train(experiment, tmp_path / "calm")
    stop = StopRequest()

    def watch(report: EpochReport) -> None:
        if report.epoch == 4:
            stop.set()

    folder = tmp_path / "stopped"
    with pytest.raises(StoppedError, match=r"stopped after 4 epochs: .* goes on from there\.$"):
        train_to_folder(experiment, folder, studies.around, watch, studies.said.append, stop)
    again = studies.train(experiment, folder)

    assert studies.said[-1] == "Goes on at epoch 5 of 6, where the training was stopped."
    assert again.curve == calm.curve
    assert again.metrics == calm.metrics
    assert weights_of(folder) == weights_of(tmp_path / "calm")
    assert not (tmp_path / ".stopped.checkpoint.safetensors").exists()


def weights_of(folder: Path) -> dict[str, bytes]:
    """The bytes of each array of a trained folder, or of all of them where they are packed."""
    found = {file.name: file.read_bytes() for file in (folder / "weights").glob("packed.bin")}
    with orbax.StandardCheckpointer() as checkpointer:
        for file in (folder / "weights").rglob("_METADATA"):
            tree = checkpointer.restore(file.parent.resolve())
            for path, array in jax.tree_util.tree_leaves_with_path(tree):
                name = f"{file.parent.relative_to(folder)}{jax.tree_util.keystr(path)}"
                found[name] = np.asarray(array).tobytes()
    assert found
    return found


SPEC: dict[str, Any] = {
    "name": "flowers",
    "data": {"dataset": "digits", "batch_size": 16},
    "model": {"name": "mlp", "widths": [16], "norm": "batch", "dropout": 0.1},
    "optimizer": {"name": "adamw", "learning_rate": 1e-3, "schedule": {"name": "cosine"}},
    "train": {"epochs": 100},
    "study": {"checkpoint_seconds": 0.05},
}
PLATEAU = {"optimizer.learning_rate": {"name": "plateau", "patience": 3, "factor": 0.5}}
KINDS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "schedules and averages": (
        {"train": {"epochs": 300, "schedules": PLATEAU, "average": {"name": "ema"}}},
        (),
    ),
    "the best epoch of two seeds": (
        {"train": {"epochs": 200, "seeds": 2, "keep": "best", "early_stop": {"patience": 60}}},
        (),
    ),
    "one lane at a time": ({"train": {"epochs": 100, "seeds": 3, "lanes": 1, "form": "map"}}, ()),
    "gradual pruning": (
        {
            "train": {"epochs": 200, "metrics": ["nonzero"]},
            "compression": {
                "sparsity": {"name": "magnitude", "share": 0.75, "begin": 0.0, "end": 1.0}
            },
        },
        (),
    ),
    "a refit after folds": (
        {"data": {**SPEC["data"], "folds": 2}, "train": {"epochs": 100, "schedules": PLATEAU}},
        ("--refit",),
    ),
}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    processes: list[Process] = []

    def start(*command: str) -> Process:
        processes.append(Process(tmp_path, *command))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_training_killed_again_and_again_ends_like_one_never_killed(
    tmp_path: Path, start: Callable[..., Process], kind: str
) -> None:
    parts, options = KINDS[kind]
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump({**SPEC, **parts}))

    def command(folder: str) -> tuple[str, ...]:
        return ("train", "spec.yaml", "-o", folder, *options)

    def finish(folder: str) -> str:
        process = start(*command(folder))
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        return errors

    finish("calm")
    file, seen = tmp_path / ".killed.checkpoint.safetensors", 0
    for number in (signal.SIGKILL, signal.SIGINT):
        process = start(*command("killed"))
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if file.exists() and file.stat().st_mtime_ns > seen:
                break
            time.sleep(0.002)
        assert process.poll() is None, process.communicate()
        process.send_signal(number)
        process.communicate(timeout=60)
        assert not (tmp_path / "killed").exists()
        seen = file.stat().st_mtime_ns
    assert "Goes on a" in finish("killed")

    assert weights_of(tmp_path / "killed") == weights_of(tmp_path / "calm")
    told = [
        json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("killed", "calm")
    ]
    for one in told:
        del one["files"], one["seconds"]
    assert told[0] == told[1]
    assert not file.exists()


class _StopAt(StopRequest):
    """Stops a training when it has looked `looks` times."""

    def __init__(self, looks: int = 1 << 30) -> None:
        super().__init__()
        self.left, self.looks = looks, 0

    def obey(self) -> bool:
        self.looks, self.left = self.looks + 1, self.left - 1
        if self.left == 0:
            self.signal = signal.SIGINT
            self.set()
        return super().obey()


def test_a_refit_that_is_stopped_when_it_has_trained_leaves_the_folds_as_they_were(
    studies: Studies, tmp_path: Path
) -> None:
    experiment = an_experiment("data.folds=3", "train.epochs=2")

    def train(folder: Path, stop: StopRequest) -> dict[str, Any]:
        around = (studies.around, lambda _: None, studies.said.append)
        train_to_folder(experiment, folder, *around, stop, is_refit=True)
        found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
        return {name: found[name] for name in ("metrics", "curve", "folds") if name in found}

    counting = _StopAt()
    whole = train(tmp_path / "whole", counting)
    with pytest.raises(StoppedError):
        train(tmp_path / "model", _StopAt(counting.looks))
    assert train(tmp_path / "model", StopRequest()) == whole
