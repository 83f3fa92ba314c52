import math
import os
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import optuna
import pytest

from hpo.search.results.pareto import pareto_front
from hpo.space import Choice, Dimension, Float, Int, SearchSpace
from hpo.spec.sections.goal import Constraint, Goal, Objective
from hpo.study.log.events import (
    Cost,
    End,
    Promote,
    Propose,
    Report,
    Start,
    Stop,
    StudyState,
    fold,
)
from hpo.study.storage.lease import acquire
from hpo.study.storage.optuna_tables import OptunaStorage, OptunaTables, open_mirror
from hpo.study.storage.tables import Storage
from hpo.trial import Exploit, TrialState
from tests.study.conftest import optuna_storage

OPTUNA_STATES = {
    TrialState.RUNNING: optuna.trial.TrialState.RUNNING,
    TrialState.PAUSED: optuna.trial.TrialState.RUNNING,
    TrialState.COMPLETE: optuna.trial.TrialState.COMPLETE,
    TrialState.PRUNED: optuna.trial.TrialState.PRUNED,
    TrialState.DIVERGED: optuna.trial.TrialState.FAIL,
}


@pytest.fixture
def lease(storage, study):
    with acquire(storage, study.id) as lease:
        yield lease


@pytest.fixture
def state(goal):
    return StudyState(goal)


def loaded(url):
    """The study as Optuna's own API reads it."""
    rdb = optuna_storage(url)
    found = optuna.load_study(study_name="digits", storage=rdb)
    trials = found.trials
    rdb.remove_session()
    return found, trials


def assert_level(url, state):
    """Everything that the log says of a trial, Optuna says too."""
    _, trials = loaded(url)
    assert [trial.number for trial in trials] == [trial.number for trial in state.trials]
    for ours, theirs in zip(state.trials, trials, strict=True):
        assert theirs.state is OPTUNA_STATES[ours.state]
        curve = [metrics["accuracy"] for metrics in state.metrics[ours.number]]
        assert list(theirs.intermediate_values) == list(range(1, len(curve) + 1))
        assert repr([*theirs.intermediate_values.values()]) == repr(curve)
        plain = {
            name: str(value) if isinstance(value, list) else value
            for name, value in ours.hparams.items()
        }
        assert repr(theirs.params) == repr(plain)
        ended = ours.state in (TrialState.COMPLETE, TrialState.PRUNED)
        assert theirs.value == (curve[-1] if ended else None)
        assert (theirs.datetime_complete is not None) == ours.state.is_finished


def test_optuna_reads_the_same_study_as_the_log(url, storage, study, lease, state, space, life):
    mirror = open_mirror(storage, study, space, state)
    assert isinstance(mirror, OptunaTables)

    for number, end in enumerate([*TrialState][2:5] * 2 + [None]):
        storage.append(study.id, life(state, number, end), lease.token, mirror)

    assert_level(url, state)
    found, trials = loaded(url)
    assert found.direction is optuna.study.StudyDirection.MAXIMIZE
    complete = [t for t in trials if t.state is optuna.trial.TrialState.COMPLETE]
    assert found.best_value == max(trial.value for trial in complete)
    assert trials[0].user_attrs == {"hpo:metrics": state.metrics[0][-1]}
    assert trials[2].user_attrs == {"hpo:state": "diverged"}
    assert math.isnan(trials[2].intermediate_values[4])
    assert trials[6].user_attrs == {"hpo:state": "paused"}
    began = datetime.fromtimestamp(state.proposed_ms[3] / 1000, UTC).astimezone()
    assert trials[3].datetime_start == began.replace(tzinfo=None)


def test_optuna_sees_a_trials_present_and_earlier_hparams(
    url, storage, study, lease, state, space, life
):
    mirror = open_mirror(storage, study, space, state)
    storage.append(study.id, life(state, 0, TrialState.COMPLETE), lease.token, mirror)
    storage.append(study.id, life(state, 1, TrialState.DIVERGED), lease.token, mirror)
    assert_level(url, state)

    hparams = {**state.trial(0).hparams, "optimizer.learning_rate": 0.05}
    log = [
        state.record(Exploit(0, 6, hparams), 1, 1_700_000_002_000),
        state.record(Promote(6, 9), 1, 1_700_000_002_000),
        *(
            state.record(Report(e, {"accuracy": 0.5, "loss": 1.0}), 1, 1_700_000_002_000 + e)
            for e in (7, 8, 9)
        ),
    ]
    storage.append(study.id, log, lease.token, mirror)
    assert_level(url, state)
    end = state.record(End(TrialState.COMPLETE), 1, 1_700_000_003_000)
    storage.append(study.id, [end], lease.token, mirror)

    assert_level(url, state)
    _, trials = loaded(url)
    assert trials[1].params["optimizer.learning_rate"] == 0.05
    assert trials[1].user_attrs["hpo:lineage"] == [
        {"trial": 0, "after": 0, "hparams": dict(state.trial(0).hparams)},
        {"trial": 1, "after": 6, "hparams": hparams},
    ]
    assert open_mirror(storage, study, space, state) is not None  # caught up with from the log
    assert_level(url, state)


def test_a_minimised_metric_keeps_its_sign(url, storage, study, lease, space, life):
    state = StudyState(Goal((Objective(minimize="loss"),)))
    mirror = open_mirror(storage, study, space, state)

    storage.append(study.id, life(state, 0, TrialState.COMPLETE), lease.token, mirror)

    found, trials = loaded(url)
    assert found.direction is optuna.study.StudyDirection.MINIMIZE
    assert trials[0].value == state.metrics[0][-1]["loss"]


def test_optuna_finds_the_same_front_of_several_objectives(url, storage, study, lease, space):
    goal = Goal(
        (Objective(maximize="accuracy"), Objective(minimize="parameters")),
        (Constraint(metric="parameters", at_most=50), Constraint(metric="loss", at_most=1)),
    )
    state = StudyState(goal)
    mirror = open_mirror(storage, study, space, state)
    results = [(0.9, 40, 0.5), (0.8, 30, 0.5), (0.7, 45, 0.5), (0.99, 20, 1.5), (0.9, 40, 0.5)]
    for number, (accuracy, parameters, loss) in enumerate(results):
        life = [
            Propose(space.draw(np.random.default_rng(number)), 0),
            Cost({"parameters": parameters}),
            Report(1, {"accuracy": accuracy, "loss": loss}),
            End(TrialState.COMPLETE),
        ]
        events = [state.record(what, number, 0) for what in life]
        storage.append(study.id, events, lease.token, mirror)
    shape = [Propose({}, 0), Cost({"parameters": 60}), End(TrialState.INFEASIBLE)]
    events = [state.record(what, 5, 0) for what in shape]
    storage.append(study.id, events, lease.token, mirror)

    found, trials = loaded(url)
    assert [direction.name for direction in found.directions] == ["MAXIMIZE", "MINIMIZE"]
    ours = [trial.number for trial in pareto_front(state.trials)]
    assert sorted(trial.number for trial in found.best_trials) == sorted(ours) == [0, 1, 4]
    assert trials[1].values == [0.8, 30.0]
    assert trials[3].constraints == {"parameters at most 50": -0.6, "loss at most 1": 0.5}
    assert trials[5].state is optuna.trial.TrialState.PRUNED
    assert trials[5].user_attrs["hpo:state"] == "infeasible"
    assert trials[5].constraints == {"parameters at most 50": 0.2}


def test_distributions_are_those_of_the_space(url, storage, study, lease, state, space, life):
    mirror = open_mirror(storage, study, space, state)
    storage.append(study.id, life(state, 0, TrialState.COMPLETE), lease.token, mirror)

    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    assert loaded(url)[1][0].distributions == {
        "optimizer.learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
        "model.dropout": FloatDistribution(0.0, 0.4, step=0.2),
        "data.batch_size": IntDistribution(16, 96, step=16),
        "model.activation": CategoricalDistribution(["relu", "gelu", None]),
        "model.widths": CategoricalDistribution(["[64]", "[128, 128]"]),
        "model.residual": CategoricalDistribution([True, 1, False]),
    }


def test_optuna_reads_a_study_whose_space_has_changed(
    url, storage, study, lease, state, space, life
):
    mirror = open_mirror(storage, study, space, state)
    for number in range(4):
        storage.append(study.id, life(state, number, TrialState.COMPLETE), lease.token, mirror)
    by_path = {**space.by_path}
    del by_path["model.residual"]
    changed = {
        "model.activation": Choice(("tanh", "gelu")),  # one more, two less
        "data.batch_size": Int(32, 256, step=32),
        "model.dropout": Float(0.1, 0.9),
        "optimizer.momentum": Float(0.0, 0.9),
    }
    by_path |= {path: Dimension(path, distribution) for path, distribution in changed.items()}
    grown = SearchSpace(tuple(by_path.values()))

    mirror = open_mirror(storage, study, grown, state)
    assert_level(url, state)
    hparams = grown.draw(np.random.default_rng(9))
    storage.append(study.id, [state.record(Propose(hparams, state.seq), 4, 0)], lease.token, mirror)

    assert_level(url, state)
    found, trials = loaded(url)
    kinds = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            assert kinds.setdefault(name, distribution) == distribution
    assert set(kinds["model.activation"].choices) >= {"tanh", "gelu"}
    assert kinds["data.batch_size"].high >= 256
    # Optuna itself goes on with it.
    found.set_user_attr("seen", True)
    assert optuna.trial.create_trial(
        value=0.5, params=trials[4].params, distributions=trials[4].distributions
    )
    storage.append(study.id, life(state, 5, TrialState.COMPLETE), lease.token, None)
    open_mirror(storage, study, space, state)  # back to the first space
    assert_level(url, state)


def test_paused_trials_are_pruned_in_optunas_tables_when_the_study_is_finished(
    url, storage, study, lease, state, space, life
):
    mirror = open_mirror(storage, study, space, state)
    storage.append(study.id, life(state, 0, None), lease.token, mirror)
    stop = state.record(Stop("finished"), None, 0)
    storage.append(study.id, [stop], lease.token, mirror)

    paused = loaded(url)[1][0]
    assert paused.state is optuna.trial.TrialState.PRUNED
    assert paused.value == state.metrics[0][-1]["accuracy"]

    # More trials are asked for: the trial may run again.
    again = [state.record(Start({}), None, 0), state.record(Promote(3, 9), 0, 0)]
    storage.append(study.id, again, lease.token, mirror)

    running = loaded(url)[1][0]
    assert running.state is optuna.trial.TrialState.RUNNING
    assert running.value is None
    assert running.user_attrs == {}


def test_events_stored_before_the_mirror_is_opened_are_caught_up_with(
    url, storage, study, lease, state, space, life
):
    for number, end in enumerate([*TrialState][2:5]):
        storage.append(study.id, life(state, number, end), lease.token)
    assert storage.study("digits").mirrored_seq == 0

    mirror = open_mirror(storage, study, space, state)
    assert_level(url, state)
    assert storage.study("digits").mirrored_seq == state.seq

    storage.append(study.id, life(state, 3, TrialState.COMPLETE), lease.token, mirror)
    assert_level(url, state)


def test_a_mirror_that_lags_is_brought_up_to_date(
    url, storage, study, lease, state, space, goal, life
):
    stored = StudyState(goal)
    mirror = open_mirror(storage, study, space, stored)
    for number in range(3):
        log = life(state, number, TrialState.COMPLETE)
        cut = 3 + 4 * number  # in the first rung, after the pause, near the end
        for event in log[:cut]:
            stored.apply(event)
        storage.append(study.id, log[:cut], lease.token, mirror)
        storage.append(study.id, log[cut:], lease.token)
        stored = fold(storage.events(study.id), goal)
        mirror = open_mirror(storage, study, space, stored)
        assert_level(url, state)


def test_a_study_set_aside_is_renamed_for_optuna_too(
    url, storage, study, lease, state, space, life
):
    mirror = open_mirror(storage, study, space, state)
    storage.append(study.id, life(state, 0, TrialState.COMPLETE), lease.token, mirror)

    storage.set_aside(study.id)

    assert optuna.get_all_study_names(optuna_storage(url)) == ["digits-1"]


def test_the_tables_sit_beside_studies_that_optuna_made(
    url, storage, study, lease, state, space, life
):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    own = optuna.create_study(study_name="own", storage=optuna_storage(url))
    own.add_trial(optuna.trial.create_trial(value=1.0))

    mirror = open_mirror(storage, study, space, state)
    storage.append(study.id, life(state, 0, TrialState.COMPLETE), lease.token, mirror)
    own.add_trial(optuna.trial.create_trial(value=2.0))

    assert_level(url, state)
    assert [trial.value for trial in own.trials] == [1.0, 2.0]


def test_optuna_itself_writes_finished_trials_where_its_schema_is_unknown(
    url, storage, study, lease, state, space, life, monkeypatch
):
    monkeypatch.setattr("hpo.study.storage.optuna_tables.ALEMBIC_HEAD", "v9.9.9.z")
    storage.append(study.id, life(state, 0, TrialState.COMPLETE), lease.token)
    mirror = open_mirror(storage, study, space, state)
    assert isinstance(mirror, OptunaStorage)
    storage.append(study.id, life(state, 1, None), lease.token, mirror)
    storage.append(study.id, life(state, 2, TrialState.DIVERGED), lease.token, mirror)

    mirror = open_mirror(storage, study, space, state)  # writes nothing twice

    _, trials = loaded(url)
    assert [trial.user_attrs["hpo:number"] for trial in trials] == [0, 2]
    assert trials[0].value == state.metrics[0][-1]["accuracy"]
    assert trials[1].state is optuna.trial.TrialState.FAIL
    assert len(trials[0].intermediate_values) == 9


def test_tables_of_a_later_optuna_are_left_alone(url, storage, study, lease, state, space, caplog):
    open_mirror(storage, study, space, state)
    connection = sqlite3.connect(storage._path)
    connection.execute("update alembic_version set version_num = 'v9.9.9.z'")
    connection.commit()
    connection.close()

    assert open_mirror(storage, study, space, state) is None
    assert "Optuna's tables of study 'digits' stay as they are" in caplog.text


@pytest.mark.long
def test_a_driver_killed_between_appends_leaves_a_log_that_optunas_tables_agree_with(
    url, storage, study, space, goal, life, tmp_path
):
    storage.close()
    script = tmp_path / "driver.py"
    script.write_text(_DRIVER.format(tests=str(Path(__file__).parents[1]), url=url))
    kept = []
    for delay in (0, 5, 40):
        with subprocess.Popen(
            [sys.executable, script], stdout=subprocess.PIPE, text=True
        ) as driver:
            lines = [driver.stdout.readline() for _ in range(delay + 1)]  # it is at work
            os.kill(driver.pid, signal.SIGKILL)
        assert lines[-1], "the driver ended by itself"
        with Storage.create(url) as after:
            log = after.events(study.id)
            # A prefix of what was written, and all of what was said to be stored.
            assert [event.seq for event in log] == list(range(1, len(log) + 1))
            assert len(log) >= int(lines[-1])
            assert after.study("digits").mirrored_seq == len(log)
            assert_level(url, fold(log, goal))
            kept.append(len(log))
    assert kept == sorted(kept)


_DRIVER = """
import sys
sys.path.insert(0, {tests!r})
import conftest
from hpo.study.log.events import fold
from hpo.study.storage.lease import acquire
from hpo.study.storage.optuna_tables import open_mirror
from hpo.study.storage.tables import Storage
from hpo.trial import TrialState

space = conftest.space.__wrapped__()
goal = conftest.goal.__wrapped__()
record = conftest.life.__wrapped__(space)
storage = Storage.create({url!r})
study = storage.study("digits")
lease = acquire(storage, study.id)
state, stored = (fold(storage.events(study.id), goal) for _ in range(2))
mirror = open_mirror(storage, study, space, stored)
number = len(state)
buffer = []
while True:
    buffer += record(state, number, TrialState.COMPLETE)
    number += 1
    for event in buffer[:7]:
        stored.apply(event)
    storage.append(study.id, buffer[:7], lease.token, mirror)
    del buffer[:7]
    print(state.seq - len(buffer), flush=True)
"""
