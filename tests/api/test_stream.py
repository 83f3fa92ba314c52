"""Studies in processes of their own: watched, left, stopped, killed, gone on with."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import pytest

import hpo

# Far more than a test waits for.
ENDLESS = {"search.trials": 100_000}


def test_a_notebook_that_uses_jax_watches_a_study_leaves_it_and_goes_on_with_it(spec):
    assert jnp.zeros(3).sum() == 0  # from here on the devices of this process are as they are

    begun = []
    for event in hpo.search("flowers.yaml", overrides=ENDLESS, stream=True):
        begun.append(event.kind)
        if event.kind == "ended":
            break
    stopped = hpo.Study("flowers")
    assert stopped.status == "interrupted"
    assert begun.count("started") == 1
    assert begun.index("started") < begun.index("proposed") < begun.index("reported")

    known = len(stopped.trials)
    events = list(hpo.resume("flowers", trials=known + 2, stream=True))
    (started,) = (event for event in events if event.kind == "started")
    assert (started.known, started.trials) == (known, known + 2)
    assert (events[-1].kind, events[-1].reason) == ("finished", "finished")
    assert len(stopped.trials) == known + 2
    assert stopped.status == "finished"
    assert jnp.ones(3).sum() == 3


def test_a_search_comes_back_with_its_study_and_tells_its_progress(
    spec, flowers, capsys, monkeypatch
):
    # The other process has no terminal, whatever these say.
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    study = hpo.search(flowers, trials=2)

    assert (study.name, study.status, len(study.trials)) == ("flowers", "finished", 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("flowers: 2 trials\n")
    assert "\x1b" not in err

    again = hpo.search(spec, trials=2, new=True, quiet=True, storage="sqlite:///hpo.db")
    assert again.trials[0].hparams == study.trials[0].hparams
    assert {found.name for found in hpo.studies()} == {"flowers", "flowers-1"}


def test_the_winner_is_trained_to_the_value_of_its_trial(spec, flowers):
    best = hpo.search(flowers, quiet=True).best
    model = hpo.Study("flowers").train("model", quiet=True)

    assert model.metrics["validation"]["accuracy"] == best.value
    assert (model.name, model.epochs, model.deviations) == ("flowers", 2, {})
    assert model.curve()["accuracy"].iloc[-1] == best.value
    assert hpo.TrainedModel.read("model") == model
    with pytest.raises(hpo.HpoError, match=r"^-o model: holds a trained model: give another "):
        hpo.train(hpo.Study("flowers").export("best.yaml"), "model", quiet=True)


def test_a_mistake_is_told_before_any_process_is_started(flowers):
    flowers["model"]["widths"] = [0]
    with pytest.raises(hpo.SpecError, match=r"^model\.widths"):
        hpo.search(flowers)
    with pytest.raises(hpo.StudyError, match=r"^no study database at hpo\.db"):
        hpo.resume("flowers")
    with pytest.raises(hpo.HpoError, match=r"^flowers: optimizer\.learning_rate may vary"):
        hpo.train(flowers | {"model": {"name": "mlp"}}, "model")


def test_what_only_the_other_process_finds_out_is_the_same_error_here(flowers):
    flowers["data"] = {"dataset": {"csv": "no.csv", "target": "y"}}
    with pytest.raises(hpo.DataError, match=r"no\.csv"):
        hpo.search(flowers, quiet=True)


def test_a_device_that_is_not_there_is_refused(flowers):
    with pytest.raises(hpo.DeviceError, match="qpu"):
        hpo.search(flowers, device="qpu", quiet=True)


@pytest.fixture
def log(tmp_path):
    """The log of the study in the working folder."""
    return Log(tmp_path / "hpo.db")


class Log:
    def __init__(self, database: Path) -> None:
        self.database = database

    def values(self, kind: str) -> list[str]:
        """What events of a kind hold, in JSON."""
        if not self.database.exists():
            return []
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        try:
            query = "select value from hpo_events where kind = ? order by seq"
            return [value for (value,) in connection.execute(query, (kind,))]
        except sqlite3.OperationalError:
            return []  # not there yet
        finally:
            connection.close()

    def wait_for(self, kind: str, count: int = 1) -> None:
        deadline = time.monotonic() + 120
        while len(self.values(kind)) < count:
            assert time.monotonic() < deadline, f"no {count} events of kind {kind}"
            time.sleep(0.02)


def parent(folder: Path, code: str) -> subprocess.Popen[str]:
    """A process of Python that searches."""
    return subprocess.Popen(
        # A shell that starts the tests in the background has them ignore SIGINT.
        [
            sys.executable,
            "-c",
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            f"import hpo\n{code}",
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.long
def test_a_study_stops_where_its_parent_is_killed(spec, log, tmp_path):
    code = (
        "for _ in hpo.search('flowers.yaml', overrides={'search.trials': 100000}, stream=True): ..."
    )
    process = parent(tmp_path, code)
    log.wait_for("report")
    process.kill()
    process.communicate()

    log.wait_for("stop")
    assert log.values("stop") == ['{"reason": "interrupted"}']
    assert hpo.Study("flowers").status == "interrupted"


@pytest.mark.long
@pytest.mark.parametrize(("end", "said"), [("", []), ("raise ValueError", ["ValueError"])])
def test_a_study_stops_where_its_parent_ends(spec, tmp_path, end, said):
    code = f"""
events = hpo.search("flowers.yaml", overrides={ENDLESS}, stream=True)
print(next(events))
{end}
"""
    _, err = parent(tmp_path, code).communicate(timeout=120)
    assert err.splitlines()[-1:] == said
    assert hpo.Study("flowers").status == "interrupted"


@pytest.mark.long
def test_ctrl_c_stops_a_search_after_its_round_and_is_told_on(spec, log, tmp_path):
    process = parent(tmp_path, "hpo.search('flowers.yaml', trials=100_000)")
    log.wait_for("report")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)

    assert process.returncode == -signal.SIGINT
    assert "Stopping after this round; once more to stop at once.\n" in err
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert log.values("stop") == ['{"reason": "interrupted"}']


@pytest.mark.long
def test_a_second_ctrl_c_ends_a_search_at_once(spec, log, tmp_path):
    process = parent(tmp_path, "hpo.search('flowers.yaml', trials=100_000)")
    log.wait_for("report")
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    _, err = process.communicate(timeout=120)

    assert process.returncode == -signal.SIGINT
    assert err.count("Stopping after this round") == 1
    assert hpo.Study("flowers").status in ("killed", "interrupted")


@pytest.mark.long
def test_a_study_stops_with_its_parent_although_a_fork_of_that_lives_on(spec, log, tmp_path):
    code = f"""
import os, time
events = hpo.search("flowers.yaml", overrides={ENDLESS}, stream=True)
next(events)
if fork := os.fork():
    print(fork, flush=True)
    for event in events: ...
time.sleep(600)
"""
    process = parent(tmp_path, code)
    fork = int(process.stdout.readline())
    try:
        log.wait_for("report")
        process.kill()
        process.wait()
        log.wait_for("stop")
        assert hpo.Study("flowers").status == "interrupted"
    finally:
        os.kill(fork, signal.SIGKILL)
        process.communicate()


@pytest.mark.long
def test_a_study_whose_process_is_killed_says_so_and_can_go_on(spec):
    events = hpo.search(spec, overrides=ENDLESS, stream=True)
    next(event for event in events if event.kind == "ended")
    study = hpo.Study("flowers")
    os.kill(int(study.report().driver.split()[1]), signal.SIGKILL)
    with pytest.raises(hpo.StudyError, match=r"^flowers: its process was killed \(SIGKILL\)"):
        list(events)

    assert study.status == "killed"
    assert hpo.resume("flowers", trials=len(study.trials), quiet=True).status == "finished"


@pytest.mark.long
def test_two_searches_of_one_study_do_not_mix(spec):
    with hpo.search(spec, overrides=ENDLESS, stream=True) as events:
        next(event for event in events if event.kind == "reported")
        with pytest.raises(hpo.StudyError, match="is being driven by process"):
            hpo.search(spec, quiet=True)
    assert hpo.Study("flowers").status == "interrupted"
    assert list(events) == []  # it was left


@pytest.mark.long
def test_an_error_of_ours_keeps_its_traceback(spec, tmp_path, monkeypatch):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import hpo.study.train, hpo.study.run\nhpo.study.run._drive = None\n"
    )
    monkeypatch.syspath_prepend(str(broken))
    with pytest.raises(RuntimeError, match=r"(?s)process failed with code 1:.*TypeError"):
        hpo.search(spec, quiet=True)


@pytest.mark.long
def test_entries_of_ones_own_are_known_in_the_other_process(spec, tmp_path):
    (tmp_path / "mine.py").write_text(DROP)
    code = """
hpo.registry.add("schedule", "drop", "mine:Drop", "mine:drop")
hpo.search("flowers.yaml", overrides={"optimizer.schedule": {"name": "drop"}}, quiet=True)
"""
    _, err = parent(tmp_path, code).communicate(timeout=120)
    assert err == ""
    assert hpo.Study("flowers").status == "finished"


# A schedule that halves the learning rate from the start.
DROP = """
from typing import Literal
from hpo.spec.marks import Knob, Spec

class Drop(Spec):
    name: Literal["drop"]
    warmup: Knob[float] = 0.0
    factor: Knob[float] = 0.5

def drop(spec, progress):
    return spec.factor + 0 * progress
"""
