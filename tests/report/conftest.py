"""A small study in a real database, written as a driver would write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.spec.load import experiment_from_document
from hpo.study.log.events import End, Pause, Propose, ReplicaReport, Report, Start, Stop, StudyState
from hpo.study.storage.lease import acquire
from hpo.study.storage.tables import Storage
from hpo.trial import Run, TrialState

_SPEC = {
    "name": "digits",
    "data": {"dataset": "digits"},
    "model": {"name": "mlp", "widths": [64]},
    "optimizer": {"name": "adamw", "learning_rate": 0.001},
    "train": {"epochs": 3},
    "space": {
        "model.widths": {"choice": [[32], [64, 64]]},
        "optimizer.name": {"choice": ["adamw", "sgd"]},
        "optimizer.momentum": {"float": [0.0, 0.9], "when": {"optimizer.name": "sgd"}},
        "optimizer.learning_rate": {"float": [1e-4, 1e-1], "log": True},
    },
    "search": {"objective": {"maximize": "accuracy"}, "baselines": False, "trials": 4},
}
NOON_MS = 1_700_000_000_000


@pytest.fixture
def spec():
    return _SPEC


@pytest.fixture
def adamw():
    return {"model.widths": [32], "optimizer.name": "adamw", "optimizer.learning_rate": 0.01}


@pytest.fixture
def sgd():
    return {
        "model.widths": [64, 64],
        "optimizer.name": "sgd",
        "optimizer.momentum": 0.5,
        "optimizer.learning_rate": 0.02,
    }


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'hpo.db'}"


@pytest.fixture
def storage(url):
    with Storage.create(url) as storage:
        yield storage


@pytest.fixture
def store(storage, tmp_path):
    """`store(lives)` stores a study of (hparams, accuracies, state) for each trial.

    Where it has two seeds, they lie 0.1 below and above that.
    """

    def store(lives, spec=_SPEC, stop="finished", folder=tmp_path, differences=()):
        record = storage.create_study(
            spec["name"],
            spec,
            0,
            {"versions": {"hpo": "0.1.0", "jax": "0.10.2"}, "folder": str(folder)},
            "data-1",
        )
        state = StudyState(experiment_from_document(spec, Path()).search.goal)
        log = [state.record(Start({"device": "2 x cpu"}, tuple(differences)), None, NOON_MS)]
        for number, (hparams, accuracies, end) in enumerate(lives):
            log.append(state.record(Propose(hparams, state.seq), number, NOON_MS))
            for epoch, accuracy in enumerate(accuracies, 1):
                for seed, shift in enumerate([-0.1, 0.1] if "seeds" in spec["train"] else []):
                    own = ReplicaReport(epoch, Run(number, seed), {"accuracy": accuracy + shift})
                    log.append(state.record(own, number, NOON_MS))
                report = Report(epoch, {"accuracy": accuracy, "loss": 1 - accuracy})
                log.append(state.record(report, number, NOON_MS + 1000 * epoch))
            if end is TrialState.PAUSED:
                log.append(state.record(Pause(len(accuracies)), number, NOON_MS + 4000))
            elif end.is_finished:
                log.append(state.record(End(end), number, NOON_MS + 4000))
        if stop is not None:
            log.append(state.record(Stop(stop), None, NOON_MS + 5000))
        with acquire(storage, record.id) as lease:
            storage.append(record.id, log, lease.token)
        return record

    return store


@pytest.fixture
def digits(store, adamw, sgd):
    """Trial 1 wins; trial 2 was better after its one epoch; trial 3 diverged."""
    return store(
        [
            (adamw, [0.5, 0.6, 0.7], TrialState.COMPLETE),
            (sgd, [0.6, 0.9, 0.8], TrialState.COMPLETE),
            (adamw, [0.95], TrialState.PRUNED),
            (sgd, [0.4], TrialState.DIVERGED),
        ],
        differences=["The study began with jax 0.10.1 and goes on with 0.10.2."],
    )
