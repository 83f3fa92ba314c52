"""Studies in processes of their own: watched, left, stopped by Ctrl-C, killed, gone on with."""

from __future__ import annotations

import os
import re
import signal

import jax.numpy as jnp
import pytest

import hpo
from tests.api.processes import ENDLESS, parent


@pytest.mark.long
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


@pytest.mark.long
def test_ctrl_c_stops_a_search_after_its_round_and_is_told_on(spec, log, tmp_path):
    process = parent(tmp_path, "hpo.search('flowers.yaml', trials=100_000)")
    log.wait_for("report")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)

    assert process.returncode == -signal.SIGINT
    # A pool may still load its program.
    assert re.search(r"^Stopping .*; once more to stop at once\.$", err, re.MULTILINE), err
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert log.values("stop") == ['{"reason": "interrupted"}']


@pytest.mark.long
def test_a_second_ctrl_c_ends_a_search_at_once(spec, log, tmp_path):
    with parent(tmp_path, "hpo.search('flowers.yaml', trials=100_000)") as process:
        log.wait_for("report")
        process.send_signal(signal.SIGINT)
        err = ""
        while "once more" not in err:
            err += process.stderr.readline()
        process.send_signal(signal.SIGINT)
        err += process.stderr.read()

    assert process.returncode == -signal.SIGINT
    assert err.count("once more to stop at once") == 1
    assert hpo.Study("flowers").status in ("killed", "interrupted")


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
