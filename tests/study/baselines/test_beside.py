"""Baselines beside a search: their process, their time, and what is noted of them."""

from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from hpo.data.dataset import DataSet, Split, of_folds
from hpo.spec.sections.goal import Goal, Objective
from hpo.study.baselines import beside
from hpo.study.baselines.beside import Allowance, Baselines, can_be_judged
from hpo.study.log.baseline import Baseline
from hpo.study.log.events import MERGING, Pin, StudyState
from tests.study.baselines.samples import a_data_set

GOAL = Goal((Objective(maximize="accuracy"),))
TRAINING = SimpleNamespace(
    model=SimpleNamespace(name="mlp", output="tanh"),  # for which there is no network
    loss=None,
    own_metrics={},
    train=SimpleNamespace(metrics=(), threshold=None, seed=7, seeds=1),
)
# A process that answers without scikit-learn: in fold n each baseline predicts class n for all.
QUICK = """
import json, os, struct, sys
request = json.loads(sys.argv[-1])
names = [prefix + split for prefix in request["prefixes"] for split in request["splits"]]
values = [[1.0, 0.0], [0.0, 1.0]]
for key in request["baselines"]:
    line = {"baseline": key, "seconds": 0.01, "trouble": ""}
    answer = json.dumps({**line, "shapes": {name: [20, 2] for name in names}}).encode() + b"\\n"
    for name in names:
        answer += struct.pack("40d", *values[name[0] == "1"] * 20)
    TROUBLE
    os.write(1, answer)
"""


class Log:
    """A journal without a database."""

    def __init__(self, *earlier: Baseline) -> None:
        self.state, self.flushes = StudyState(GOAL), 0
        for baseline in earlier:
            self.record(baseline)

    def record(self, what, trial=None) -> None:
        self.state.record(what, trial, 0)

    def flush(self) -> None:
        self.flushes += 1

    def pin(self, program="a1") -> None:
        self.record(Pin(program, {"form": "map", "lanes": 1}))


def some_baselines(log, code="", *, given=None, spent=0.0, data=None):
    start = (sys.executable, "-P", "-c", code) if code else ()
    data = data or a_data_set("classification", 2)
    return Baselines(data, TRAINING, GOAL, Allowance(given), log, spent, start)


def wait(baselines, is_skipped=lambda: False):
    said = []
    baselines.look(said.append)
    baselines.wait(is_skipped, said.append)
    return said


def quick(trouble="pass"):
    return QUICK.replace("TROUBLE", trouble)


def test_nothing_starts_before_the_first_plan_is_pinned():
    log = Log()
    baselines = some_baselines(log, quick())
    log.record(Pin(MERGING, {}))
    assert wait(baselines) == []
    assert threading.active_count() == len(threading.enumerate())
    assert log.state.baselines == {}

    baselines = some_baselines(log, quick())
    log.pin()
    wait(baselines)
    assert len(log.state.baselines) >= 7


def test_a_resumed_study_repeats_no_baseline_that_has_a_result_or_has_failed():
    done = Baseline("constant", "", {"accuracy": 0.125}, seconds=1.0)
    failed = Baseline("linear", "penalty 1", trouble="it failed")
    cut = Baseline("forest", "leaves of 1", seconds=2.0)
    log = Log(done, failed, cut)
    log.pin()
    before = log.state.seq

    wait(some_baselines(log, quick()))

    found = log.state.baselines
    assert (found[done.key], found[failed.key]) == (done, failed)
    assert found[cut.key].metrics.keys() == {"loss", "accuracy"}
    assert log.state.seq - before == len(found) - 2
    wait(some_baselines(log, quick()))
    assert log.state.seq - before == len(found) - 2


def test_with_folds_the_mean_of_the_folds_judges_a_baseline():
    data = of_folds([a_data_set("classification", 2, seed=seed) for seed in (1, 2)])
    log = Log()
    log.pin()
    wait(some_baselines(log, quick(), data=data))

    shares = [float((fold.validation.y == number).mean()) for number, fold in enumerate(data.folds)]
    accuracies = {found.metrics["accuracy"] for found in log.state.baselines.values()}
    assert shares[0] != shares[1]
    assert [*accuracies] == [pytest.approx(sum(shares) / 2)]
    # The mean prediction has equal chances, and the first class is predicted.
    tests = {found.test["accuracy"] for found in log.state.baselines.values()}
    assert [*tests] == [pytest.approx(float((data.test.y == 0).mean()))]


def test_an_answer_that_cannot_be_judged_ends_the_process_and_is_raised(monkeypatch):
    raised = []
    monkeypatch.setattr(threading, "excepthook", lambda args: raised.append(args.exc_type))
    log = Log()
    log.pin()
    lost = "answer = answer.replace(b'validation', b'invitation')"

    wait(some_baselines(log, quick(lost) + "import time; time.sleep(60)", given=60.0))

    assert raised == [KeyError]


@pytest.mark.parametrize(
    ("given", "spent", "earlier", "is_started"),
    [
        (None, 0.0, 17.0, True),
        (None, 0.0, 19.0, False),  # of 20 seconds
        (None, 600.0, 57.0, True),
        (None, 600.0, 59.0, False),  # of a tenth
        (120.0, 600.0, 117.0, True),
        (120.0, 6000.0, 119.0, False),
    ],
)
def test_the_cpu_time_of_all_runs_counts(given, spent, earlier, is_started):
    log = Log(Baseline("forest", "leaves of 1", seconds=earlier))
    log.pin()

    baselines = some_baselines(log, quick(), given=given, spent=spent)
    baselines.look(print)

    assert baselines.is_over != is_started
    baselines.end()


def test_a_slow_baseline_is_cut_beside_the_search_when_its_cpu_time_is_over(monkeypatch):
    monkeypatch.setattr(beside, "_WORTH_SECONDS", 0.0)
    log = Log()
    log.pin()
    slow = quick("while key[0] == 'boosting': pass")
    baselines = some_baselines(log, slow, given=0.4)

    while not baselines.is_over:
        baselines.look(print)
        time.sleep(0.01)

    found = list(log.state.baselines.values())
    cut = [one for one in found if one.is_cut]
    assert (cut[0].name, cut[0].seconds > 0) == ("boosting", True)
    assert {one.name for one in found if one.metrics} == {"constant", "linear"}
    assert len(cut) >= 4
    assert log.state.baseline_seconds >= 0.4


def test_a_skipped_wait_leaves_out_what_is_not_done():
    log = Log()
    log.pin()

    wait(some_baselines(log, quick("import time; time.sleep(60)")), is_skipped=lambda: True)

    assert {one.is_cut for one in log.state.baselines.values()} == {True}


@pytest.mark.parametrize(
    ("given", "search_seconds", "cpu", "wait_seconds"),
    [
        (None, 6.0, 20.0, 5.0),
        (None, 100.0, 20.0, 10.0),
        (None, 250.0, 25.0, 25.0),
        (None, 3600.0, 360.0, 30.0),
        (120.0, 6.0, 120.0, 120.0),
    ],
)
def test_by_default_they_get_a_tenth_of_the_search_within_bounds(
    given, search_seconds, cpu, wait_seconds
):
    allowance = Allowance(given)
    assert allowance.seconds(search_seconds) == cpu
    assert allowance.wait_seconds(search_seconds) == wait_seconds


def test_an_ended_search_waits_no_longer_than_that(monkeypatch):
    monkeypatch.setattr(beside, "_WAIT_SECONDS", (0.0, 0.0))
    log = Log()
    log.pin()

    wait(some_baselines(log, quick("import time; time.sleep(60)")))

    assert {one.is_cut for one in log.state.baselines.values()} == {True}


def test_the_user_is_told_that_the_search_waits(monkeypatch):
    monkeypatch.setattr(beside, "_SILENT_SECONDS", -1.0)
    log = Log()
    log.pin()

    said = wait(some_baselines(log, quick(), given=60.0))

    assert said == ["Baselines take up to 60 s more; Ctrl-C skips the rest."]
    assert log.flushes > 0  # which holds the lease


def test_a_search_that_ends_early_leaves_no_process_and_notes_nothing():
    log = Log()
    log.pin()
    baselines = some_baselines(log, quick("import time; time.sleep(60)"))
    baselines.look(print)

    baselines.end()

    assert log.state.baselines == {}
    assert baselines.is_over


def test_a_process_that_crashes_fails_one_baseline_and_cuts_the_others():
    log = Log()
    log.pin()

    wait(some_baselines(log, quick("if key[0] == 'forest': os.kill(os.getpid(), 9)")))

    forest = next(one for one in log.state.baselines.values() if one.name == "forest")
    assert forest.trouble == "its process ended with status -9"
    after = list(log.state.baselines.values())
    assert {one.is_cut for one in after[after.index(forest) + 1 :]} == {True}


def test_an_answer_that_is_cut_off_is_no_result():
    log = Log()
    log.pin()
    cut_off = "answer = answer[:-8]; os.write(1, answer); os._exit(0)"

    wait(some_baselines(log, quick(cut_off)))

    assert not any(one.metrics for one in log.state.baselines.values())


@pytest.mark.parametrize(
    ("metric", "task", "is_judged"),
    [
        ("accuracy", "classification", True),
        ("metrics.py:top3", "classification", True),
        ("rmse", "classification", False),
        ("train_loss", "classification", False),
        ("parameters", "classification", False),
    ],
)
def test_baselines_need_an_objective_that_judges_predictions(metric, task, is_judged):
    data = a_data_set(task, 3)
    assert can_be_judged(data, Goal((Objective(maximize=metric),))) == is_judged


def test_no_baseline_gives_a_class_for_each_pixel():
    part = Split({"x": np.zeros((3, 2, 2, 1), np.float32), "y": np.zeros((3, 2, 2), np.int32)})
    data = DataSet("segmentation", part, part, None, 2, "s")
    assert not can_be_judged(data, Goal((Objective(maximize="iou"),)))
