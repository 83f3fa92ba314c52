"""The process of the baselines: its answers, and its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import Ridge

from hpo.study.baselines.child import _fold, weighted
from hpo.study.baselines.estimators import Problem
from hpo.study.baselines.handover import hand_over
from hpo.study.baselines.network import NETWORK, network_of, trained
from tests.checkout import ROOT
from tests.engine.samples import a_training
from tests.study.baselines.samples import ROWS, a_data_set

START = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from hpo.study.baselines import child; "
# Fits for ever, once it has written a line.
STUCK = """
def stuck(key, problem):
    child.os.write(2, b"fits\\n")
    while True:
        pass
child.fitted = stuck
"""
# Starts a child, tells its number, and waits.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, pass_fds=[int(sys.argv[1])])
print(child.pid, flush=True)
time.sleep(600)
"""
MOMENT = 20.0


def a_request(given, *keys, network=None):
    request = {"file": given.file.fileno(), "places": given.places, "splits": ["validation"]}
    request |= {
        "task": "regression",
        "outputs": 1,
        "seed": 7,
        "quantile": None,
        "are_counts": given.are_counts,
        "window": given.window,
        "network": network,
        "prefixes": [""],
    }
    return json.dumps({**request, "baselines": keys})


def has_ended(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def within_a_moment(happens):
    until = time.monotonic() + MOMENT
    while not happens() and time.monotonic() < until:
        time.sleep(0.01)
    return happens()


@pytest.mark.long
def test_it_answers_with_predictions_and_one_error_costs_one_baseline():
    data = a_data_set("regression", 1)
    given = hand_over(data, 0)
    keys = ("linear", "penalty 1"), ("unknown", ""), NETWORK
    network = {**network_of(data, a_training()), "seconds": 60.0}
    request = a_request(given, *keys, network=network)
    with given.file:
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", f"{START} child.main()", request],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[given.file.fileno()],
        )
        with child:
            rest = child.stdout.read()
    found = []
    while rest:
        line, _, rest = rest.partition(b"\n")
        told = json.loads(line)
        values = [np.frombuffer(rest, np.float64, ROWS[1])] if told["shapes"] else []
        rest = rest[8 * ROWS[1] * len(values) :]
        found.append((tuple(told["baseline"]), bool(told["trouble"]), *values))

    assert [(key, failed) for key, failed, *_ in found] == [
        (keys[0], False),
        (keys[1], True),
        (keys[2], False),
    ]
    ridge = Ridge(alpha=1.0).fit(data.train.x, data.train.y)
    np.testing.assert_allclose(found[0][2], ridge.predict(data.validation.x), rtol=1e-5)
    problem = Problem("regression", 1, data.train.x, data.train.y, None, 7)
    here = trained(network, problem)(data.validation.x)
    np.testing.assert_allclose(found[2][2], here[:, 0], rtol=1e-3, atol=1e-3)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_it_has_the_lowest_priority_leaves_signals_to_its_parent_and_dies_with_it():
    given = hand_over(a_data_set("regression", 1), 0)
    with given.file:
        code = f"{START}{STUCK}\nchild.main()"
        child = [sys.executable, "-P", "-c", code, a_request(given, ("constant", ""))]
        number = str(given.file.fileno())
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, number, *child],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[given.file.fileno()],
        )
        with parent:
            pid = int(parent.stdout.readline())
            assert parent.stderr.readline() == b"fits\n"
            assert os.getpriority(os.PRIO_PROCESS, pid) == 19
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(pid, number)
            assert not has_ended(pid)

            parent.kill()
            assert within_a_moment(lambda: has_ended(pid))


@pytest.mark.long
def test_it_ends_when_its_input_ends():
    given = hand_over(a_data_set("regression", 1), 0)
    with given.file:
        child = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-c",
                f"{START}{STUCK}\nchild.main()",
                a_request(given, ("a", "")),
            ],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[given.file.fileno()],
        )
        with child:
            assert child.stderr.readline() == b"fits\n"
            child.stdin.close()
            assert child.wait(MOMENT) == 1


def test_a_network_gets_codes_as_they_are_and_others_one_hot_columns():
    arrays = {
        "train.x": np.eye(3),
        "train.y": np.array([0, 1, 0]),
        "train.encoded": np.array([[1], [2], [3]]),
        "validation.x": np.eye(3)[:1],
        "validation.encoded": np.array([[1]]),
    }
    request = {"task": "classification", "outputs": 2, "splits": ["validation"], "seed": 7}
    request |= {"are_counts": False, "quantile": None, "window": 0, "network": {}}
    (plain, judged), (network, encoded) = _fold(arrays, "", request)
    assert plain.x.shape == (3, 3)
    assert judged["validation"].shape == (1, 3)
    assert network.x.tolist() == [[1], [2], [3]]
    assert encoded["validation"].tolist() == [[1]]
    assert network.y is plain.y


def test_counts_of_tokens_are_weighed_by_the_training_rows_alone():
    train, judged = (csr_matrix(rows) for rows in ([[2.0, 0, 1], [1, 0, 0]], [[1.0, 3, 1]]))
    found = weighted({"train.x": train, "train.y": np.zeros(2), "validation.x": judged})

    weigh = TfidfTransformer().fit(train)
    assert found.keys() == {"train.x", "validation.x"}
    np.testing.assert_allclose(
        found["validation.x"].toarray(), weigh.transform(judged).toarray(), rtol=1e-6
    )
