"""The process of a study: it ends with its parent, and brings its errors and entries."""

from __future__ import annotations

import os
import signal

import pytest

import hpo
from tests.api.processes import ENDLESS, parent


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
print(next(event for event in events if event.kind == "ended"))
{end}
"""
    _, err = parent(tmp_path, code).communicate(timeout=120)
    assert err.splitlines()[-1:] == said
    assert hpo.Study("flowers").status == "interrupted"


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
