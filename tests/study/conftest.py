"""A small study: a space of every kind of dimension, and events as a driver would record them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest
import sqlalchemy as sa

from hpo.space import Choice, Dimension, Float, Int, SearchSpace
from hpo.spec.sections.goal import Goal, Objective
from hpo.study.log.events import End, Event, Pause, Promote, Propose, Report, StudyState
from hpo.study.storage.tables import Storage
from hpo.trial import TrialState
from tests.study.whole import Studies


def optuna_storage(url):
    """Optuna's own storage, without a pool: Python 3.13 warns of connections left open."""
    return optuna.storages.RDBStorage(url, engine_kwargs={"poolclass": sa.NullPool})


@pytest.fixture
def goal():
    return Goal((Objective(maximize="accuracy"),))


@pytest.fixture
def space():
    return SearchSpace(
        (
            Dimension("optimizer.learning_rate", Float(1e-4, 1e-1, log=True)),
            Dimension("model.dropout", Float(0.0, 0.5, step=0.2)),  # 0.5 is no step
            Dimension("data.batch_size", Int(16, 100, step=16)),  # nor is 100
            Dimension("model.activation", Choice(("relu", "gelu", None))),
            Dimension("model.widths", Choice(([64], [128, 128]))),
            Dimension("model.residual", Choice((True, 1, False))),
        )
    )


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'hpo.db'}"


@pytest.fixture
def storage(url):
    with Storage.create(url) as storage:
        yield storage


@pytest.fixture
def study(storage):
    document = {"name": "digits", "train": {"epochs": 9}}
    return storage.create_study("digits", document, 7, {"versions": {}}, "data-1")


@pytest.fixture
def life(space):
    """`life(state, number, end)` records a trial: 3 epochs, a pause, and 6 more if it completes."""

    def record(state: StudyState, number: int, end: TrialState | None) -> list[Event]:
        rng = np.random.default_rng(number)
        time_ms = 1_700_000_000_000 + 1000 * number
        log = [state.record(Propose(space.draw(rng), state.seq), number, time_ms)]

        def report(first: int, last: int) -> None:
            for epoch in range(first, last + 1):
                metrics = {"accuracy": float(rng.random()), "loss": float(rng.random())}
                log.append(state.record(Report(epoch, metrics), number, time_ms + epoch))

        report(1, 3)
        log.append(state.record(Pause(3), number, time_ms + 4))
        if end is TrialState.COMPLETE:
            log.append(state.record(Promote(3, 9), number, time_ms + 5))
            report(4, 9)
        if end is TrialState.DIVERGED:
            log.append(state.record(Promote(3, 9), number, time_ms + 5))
            metrics = {"accuracy": float("nan"), "loss": float("inf")}
            log.append(state.record(Report(4, metrics), number, time_ms + 6))
        if end is not None:
            log.append(state.record(End(end), number, time_ms + 500))
        return log

    return record


@pytest.fixture
def studies(tmp_path: Path, compile_cache: Path) -> Studies:
    return Studies(tmp_path, compile_cache)


@pytest.fixture
def many(tmp_path: Path, compile_cache: Path) -> Callable[[str], Studies]:
    def make(name: str) -> Studies:
        (tmp_path / name).mkdir()
        return Studies(tmp_path / name, compile_cache)

    return make
