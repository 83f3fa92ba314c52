"""Processes that stay for several trials, with all that a trial of its own process keeps to."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from hpo.errors import SpecError
from hpo.spec.load import load_document
from hpo.trial import TrialState
from tests.checkout import ROOT
from tests.study.whole import Studies

FILE = """
import os, pathlib, signal, subprocess, sys, threading, time

pathlib.Path("imports").open("a").write(f"{os.getpid()}\\n")
kept = []

def plain(a):
    print("value", a)
    return a

def gpus(a):
    print("gpu", os.environ["CUDA_VISIBLE_DEVICES"], "trial", os.environ["HPO_TRIAL"])
    time.sleep(0.05)
    return a

def raises(a):
    if a == 1:
        raise ValueError("no")
    return a

def dies(a):
    if a == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return a

def exits(a):
    if a == 1:
        sys.exit("enough")
    return a

def hangs(a):
    if a == 1:
        time.sleep(60)
    return a

def leaves_a_thread(a):
    if a == 1:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    return a

def leaves_a_process(a):
    if a == 1:
        pid = subprocess.Popen(["sleep", "60"], start_new_session=True).pid
        pathlib.Path("left").write_text(str(pid))
    return a

def leaves_a_fork(a):
    if a == 1 and (pid := os.fork()) == 0:
        os.setsid()
        time.sleep(60)
    elif a == 1:
        pathlib.Path("left").write_text(str(pid))
    return a

def grows(a):
    kept.append(b"x" * 90 * 2**20)
    return a

def halved(trial, a):
    for epoch in range(1, 5):
        print("epoch", epoch)
        trial.report(a + epoch, epoch)
        time.sleep(0.02)

def waits(a):
    time.sleep(60)
"""


@pytest.fixture
def search(tmp_path):
    (tmp_path / "own.py").write_text(FILE)
    studies = Studies(tmp_path, tmp_path / "cache")
    studies.around = replace(studies.around, typed=tmp_path / "typed")

    def run(name, scheduler=("none", {}), epochs=1, **command):
        experiment = load_document(document_of(name, scheduler, epochs, **command), tmp_path)
        studies.run(experiment)
        return studies.state(experiment).trials

    return run


def document_of(name, scheduler=("none", {}), epochs=1, **command):
    return {
        "name": name,
        "objective": {"python": f"own.py:{name}", "stay": True, **command},
        "space": {"a": {"choice": [0, 1, 2, 3]}},
        "train": {"epochs": epochs},
        "search": {
            "objective": {"minimize": "loss"},
            "trials": 4,
            "sampler": {"name": "grid"},
            "scheduler": {"name": scheduler[0], **scheduler[1]},
        },
    }


def processes(folder):
    return [int(line) for line in (folder / "imports").read_text().splitlines()]


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def log_of(folder, name, trial):
    text = (folder / "hpo.db.trials" / name / str(trial) / "log.txt").read_text()
    return [line for line in text.splitlines() if not line.startswith("[hpo]")]


def test_one_process_serves_all_trials_and_each_log_holds_its_own_output(search, tmp_path):
    trials = search("plain")
    assert [trial.losses[-1] for trial in trials] == [trial.hparams["a"] for trial in trials]
    (pid,) = processes(tmp_path)
    assert not is_there(pid)
    for trial in trials:
        assert log_of(tmp_path, "plain", trial.number) == [f"value {trial.hparams['a']}"]


@pytest.mark.parametrize(
    ("name", "command", "why"),
    [
        ("raises", {}, "ValueError: no"),
        ("dies", {}, "was ended by SIGKILL"),
        ("exits", {}, "exited with status 1"),
        ("hangs", {"time_limit": 0.5, "grace": 0.1}, "command.time_limit"),
    ],
)
def test_a_trial_that_fails_costs_itself_and_its_process_alone(
    search, tmp_path, name, command, why
):
    trials = search(name, **command)
    failed = [trial for trial in trials if trial.state is TrialState.DIVERGED]
    assert [trial.hparams["a"] for trial in failed] == [1]
    assert {t.hparams["a"]: t.losses for t in trials if t not in failed} == {
        0: (0.0,),
        2: (2.0,),
        3: (3.0,),
    }
    log = tmp_path / "hpo.db.trials" / name / str(failed[0].number) / "log.txt"
    assert why in log.read_text()
    last = failed[0].number == 3  # nothing comes after it
    assert len(processes(tmp_path)) == (1 if last else 2)


@pytest.mark.parametrize("name", ["leaves_a_thread", "leaves_a_process", "leaves_a_fork"])
def test_a_process_with_something_left_of_a_trial_takes_no_other_one(search, tmp_path, name):
    trials = search(name)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    last = next(trial.number for trial in trials if trial.hparams["a"] == 1) == 3
    assert len(processes(tmp_path)) == (1 if last else 2)
    if name != "leaves_a_thread":
        assert not is_there(int((tmp_path / "left").read_text()))


def test_a_process_that_fills_half_of_the_memory_limit_takes_no_other_trial(search, tmp_path):
    trials = search("grows", memory_limit="200MiB")
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    assert len(processes(tmp_path)) == 4


def test_trials_that_the_scheduler_stops_leave_their_process_to_others(search, tmp_path):
    trials = search("halved", ("successive_halving", {"eta": 2}), epochs=4)
    best = next(trial for trial in trials if trial.hparams["a"] == 0)
    assert best.losses == (1.0, 2.0, 3.0, 4.0)
    assert sum(trial.state is TrialState.PRUNED for trial in trials) == 3
    assert len(processes(tmp_path)) == 1


@pytest.mark.parametrize("stay", [True, False])
def test_each_worker_of_a_function_has_devices_of_its_own(search, tmp_path, monkeypatch, stay):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    trials = search("gpus", workers={"gpu": 1}, stay=stay)
    shown = [log_of(tmp_path, "gpus", trial.number) for trial in trials]
    assert {line.split()[1] for (line,) in shown} == {"4", "7"}
    assert [line.split()[3] for (line,) in shown] == ["0", "1", "2", "3"]
    assert len(processes(tmp_path)) == (2 if stay else 4)


def test_only_a_function_stays(tmp_path):
    document = {**document_of("plain"), "objective": None}
    del document["objective"]
    document["command"] = {"run": "train {a}", "stay": True}
    with pytest.raises(SpecError, match="stay goes with python"):
        load_document(document, tmp_path)


@pytest.mark.long
def test_a_killed_driver_leaves_no_process_that_stays(tmp_path):
    (tmp_path / "own.py").write_text(FILE)
    code = (
        "import sys, pathlib; from hpo.api.running import run_search;"
        "from hpo.spec.load import load_document; from hpo.study.signals import StopRequest;"
        "from types import SimpleNamespace as N;"
        f"run_search(load_document({document_of('waits')!r}, pathlib.Path()),"
        " N(watch=lambda p: None, say=print), StopRequest())"
    )
    homes = {f"XDG_{kind}_HOME": str(tmp_path / kind) for kind in ("CACHE", "STATE")}
    driver = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, **homes, "PYTHONPATH": str(ROOT)},
    )
    wait_for(lambda: (tmp_path / "imports").exists() and processes(tmp_path))
    (pid,) = processes(tmp_path)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    wait_for(lambda: not is_there(pid))


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
