"""A trial that continues from another trial's lane: the same state, then its own knobs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.devices import local_devices
from hpo.engine.energy import Meter
from hpo.engine.pools.occupant import EpochReport
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.training.lane import Lane
from tests.engine.samples import a_training

EPOCHS = 4


def trained(pool: Pool) -> list[EpochReport]:
    reports: list[EpochReport] = []
    while pool.has_work:
        reports += pool.round()
    return reports


def leaves(lane: Lane) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(lane)]


def knobs_of(data: DataSet, rate: float) -> np.ndarray:
    return split(a_training(0, optimizer__learning_rate=rate), data, "cpu")[1]


def a_pool(data: DataSet, compiler: Compiler, form: str, meter: Meter | None = None) -> Pool:
    pool = Pool(local_devices("cpu")[0], compiler, meter)
    program, _ = split(a_training(), data, "cpu")
    pool.load(program, Plans(Plan(form, 3)), data)  # type: ignore[arg-type]
    return pool


@pytest.mark.parametrize("form", ["map", "vmap"])
def test_a_copied_lane_equals_its_source_bit_for_bit_and_trains_on_like_it(
    tiny: DataSet, compiler: Compiler, form: str
) -> None:
    pool = a_pool(tiny, compiler, form)
    pool.put(0, 10, a_training(1), knobs_of(tiny, 0.01), None, 2)
    pool.put(2, 12, a_training(2), knobs_of(tiny, 0.3), None, 2)
    trained(pool)
    source = pool.take(0)
    assert leaves(pool.take(2)) != leaves(source)
    assert not np.array_equal(pool.take(2).key, source.key)

    changed = knobs_of(tiny, 0.02)
    pool.copy(0, 2, knobs_of(tiny, 0.01), ((2, changed),))
    assert leaves(pool.take(2)) == leaves(source) == leaves(pool.take(0))
    assert pool.occupant(2) == (12, *pool.occupant(0)[1:])
    assert not pool.has_work

    pool.extend(0, EPOCHS)
    pool.extend(2, EPOCHS)
    reports = trained(pool)
    alone = a_pool(tiny, compiler, form)
    alone.put(1, 7, a_training(1), knobs_of(tiny, 0.01), None, EPOCHS, ((2, changed),))
    whole = trained(alone)
    assert leaves(pool.take(2)) == leaves(alone.take(1)) != leaves(pool.take(0))
    assert [r.metrics for r in reports if r.run == 12] == [r.metrics for r in whole[2:]]


def test_lanes_follow_their_schedules_after_a_resume_too(tiny: DataSet, compiler: Compiler) -> None:
    plateau = {"name": "plateau", "patience": 1, "min_delta": 100.0, "factor": 0.5}
    schedules = {
        "optimizer.learning_rate": plateau,  # no loss improves by 100, so every epoch after 2
        "model.dropout": {"name": "linear", "to": 0.5},
    }
    training = a_training(1, train={"epochs": EPOCHS, "stream": 1, "schedules": schedules})
    knobs = split(training, tiny, "cpu")[1]
    pool = a_pool(tiny, compiler, "map")
    pool.put(0, 10, training, knobs, None, 2)
    early = trained(pool)
    losses = [report.metrics["loss"] for report in early]
    pool.put(1, 11, training, knobs, pool.take(0), EPOCHS, losses=losses)
    late = trained(pool)

    by_hand = a_pool(tiny, compiler, "map")
    numbers = [(0.01, 0.2), (0.01, 0.3), (0.005, 0.4), (0.0025, 0.5)]
    trainings = [a_training(1, optimizer__learning_rate=r, model__dropout=d) for r, d in numbers]
    changes = [(epoch, split(one, tiny, "cpu")[1]) for epoch, one in enumerate(trainings)]
    by_hand.put(0, 12, a_training(1), knobs, None, EPOCHS, tuple(changes))
    assert [r.metrics for r in trained(by_hand)] == [r.metrics for r in [*early, *late]]
    assert leaves(by_hand.take(0)) == leaves(pool.take(1))


def test_the_wait_for_a_measurement_is_no_time_of_training(
    tiny: DataSet, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = count()  # each look takes one

    class Held(Meter):
        def counted(self, pool: object, train: Callable[[], Any]) -> tuple[Any, float]:
            for _ in range(100):
                next(seconds)
            return super().counted(pool, train)

    pool = a_pool(tiny, compiler, "map", Held())
    pool.put(0, 0, a_training(), knobs_of(tiny, 0.01), None, 1)
    monkeypatch.setattr("hpo.engine.pools.pool.time", SimpleNamespace(monotonic=seconds.__next__))
    pool.round()
    assert 0 < sum(pool.seconds.values()) < 100


def test_the_joules_of_a_round_are_divided_as_its_seconds_are(
    tiny: DataSet, compiler: Compiler
) -> None:
    used: list[float] = []

    def counter() -> float:
        used.append(6.0)
        return 6.0

    pool = a_pool(tiny, compiler, "map", Meter([counter]))
    for lane, epochs in ((0, 1), (1, 2), (2, 2)):
        pool.put(lane, lane, a_training(lane), knobs_of(tiny, 0.01), None, epochs)
    of_trials: dict[object, float] = {}
    while pool.has_work:
        pool.round()
        whole = sum(pool.seconds.values())
        for run, joules in pool.joules.items():
            assert joules / 6.0 == pytest.approx(pool.seconds[run] / whole)
            of_trials[run] = of_trials.get(run, 0.0) + joules
    assert len(of_trials) == 3
    # Half of the looks are those at the start of a round, when nobody trained before.
    assert sum(of_trials.values()) == pytest.approx(sum(used) / 2)
