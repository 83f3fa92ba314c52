"""Lanes: a trial's result does not depend on other trials, which come and go without a compile."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.data.dataset import DataSet
from hpo.engine.devices import local_devices
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.lanes import evaluate_lanes
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.training.lane import lane_from_arrays, lane_to_arrays
from hpo.engine.training.task import Tally
from tests.engine.samples import Learn, a_training, tiny_data

_COMPILER = Compiler()
_DATA = tiny_data()


def _trials(count: int) -> list:
    rates = np.geomspace(1e-3, 1e-1, count)
    return [a_training(n, optimizer__learning_rate=float(rates[n])) for n in range(count)]


@pytest.mark.parametrize("lanes", [2, 3, 8])
def test_a_trial_learns_the_same_alone_as_beside_others(
    tiny: DataSet, learn: Learn, lanes: int
) -> None:
    trials = _trials(8)
    assert learn(tiny, trials, lanes=lanes) == learn(tiny, trials, lanes=1)


def test_a_trial_learns_the_same_on_every_device(tiny: DataSet, learn: Learn) -> None:
    trials = _trials(3)
    assert learn(tiny, trials, device=1, lanes=2) == learn(tiny, trials, device=0, lanes=2)


def test_lanes_side_by_side_learn_the_same_to_rounding(tiny: DataSet, learn: Learn) -> None:
    trials = _trials(4)
    one_by_one, at_once = learn(tiny, trials), learn(tiny, trials, lanes=4, form="vmap")
    for number, curve in one_by_one.items():
        for ours, theirs in zip(curve, at_once[number], strict=True):
            assert ours == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("form", ["map", "vmap"])
def test_a_diverging_lane_leaves_its_neighbours_alone(
    tiny: DataSet, learn: Learn, form: str
) -> None:
    calm = a_training(0, optimizer={"name": "sgd", "learning_rate": 0.01})
    wild = a_training(1, optimizer={"name": "sgd", "learning_rate": 1e30})
    beside = learn(tiny, [calm, wild], lanes=2, form=form)
    assert not np.isfinite(beside[1][-1]["loss"])
    assert beside[0] == learn(tiny, [calm], lanes=2, form=form)[0]


def test_a_diverged_trial_trains_no_further(tiny: DataSet, learn: Learn) -> None:
    wild = a_training(1, optimizer={"name": "sgd", "learning_rate": 1e30})
    curve = learn(tiny, [wild])[1]
    assert len(curve) < 4
    assert all(np.isfinite(list(epoch.values())).all() for epoch in curve[:-1])


def test_trials_with_the_same_hparams_have_random_streams_of_their_own(
    tiny: DataSet, learn: Learn
) -> None:
    curves = learn(tiny, [a_training(0), a_training(1)], lanes=2)
    assert curves[0] != curves[1]


def test_new_numbers_compile_nothing(tiny: DataSet) -> None:
    compiler = Compiler()
    pool = Pool(local_devices("cpu")[0], compiler)
    schedule = {"name": "cosine", "warmup": 0.2}
    for n in range(1, 5):
        optimizer = {
            "name": "adamw",
            "learning_rate": 0.01 * n,
            "weight_decay": 0.001 * n,
            "beta1": 0.8 + 0.01 * n,
            "clip_norm": 1.0 * n,
            "schedule": {**schedule, "warmup": 0.1 * n},
        }
        training = a_training(n, optimizer=optimizer, model__dropout=0.1 * n)
        program, knobs = split(training, tiny, "cpu")
        pool.load(program, Plans(Plan("map", 2)), tiny)
        pool.put(0, n, training, knobs, None, 1)
        assert pool.round()
    assert compiler.programs == 1


def test_a_second_device_compiles_nothing(tiny: DataSet) -> None:
    compiler = Compiler()
    training = a_training()
    program, _ = split(training, tiny, "cpu")
    for device in local_devices("cpu")[:2]:
        Pool(device, compiler).load(program, Plans(Plan("map", 2)), tiny)
    assert compiler.programs == 1


@settings(max_examples=10, deadline=None)
@given(stop=st.integers(1, 3), lane=st.integers(0, 1), crowd=st.booleans())
def test_a_trial_paused_and_promoted_elsewhere_learns_as_if_never_stopped(
    stop: int, lane: int, crowd: bool
) -> None:
    data, training, other = _DATA, a_training(7), a_training(8, optimizer__learning_rate=0.5)
    program, knobs = split(training, data, "cpu")
    first, second = (Pool(device, _COMPILER) for device in local_devices("cpu")[:2])
    for pool in (first, second):
        pool.load(program, Plans(Plan("map", 2)), data)
    curve = []
    first.put(0, 7, training, knobs, None, stop)
    while first.has_work:
        curve += first.round()
    arrays = lane_to_arrays(first.take(0))
    state = lane_from_arrays(first.take(0), arrays)
    assert state is not None
    if crowd:
        second.put(1 - lane, 8, other, split(other, data, "cpu")[1], None, 4)
    second.put(lane, 7, training, knobs, state, 4)
    while second.has_work:
        curve += [report for report in second.round() if report.run == 7]

    straight = []
    first.put(1, 7, training, knobs, None, 4)
    while first.has_work:
        straight += [report for report in first.round() if report.run == 7]
    assert curve == straight


def test_rounds_that_cut_an_epoch_change_nothing(
    tiny: DataSet, learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = learn(tiny, _trials(3), lanes=2)
    monkeypatch.setattr("hpo.engine.pools.pool._ROUND_SECONDS", 0.0)
    monkeypatch.setattr("hpo.engine.pools.pool._FIRST_PARTS", 1)
    assert learn(tiny, _trials(3), lanes=2) == whole


class _Counting:
    """A task whose batches hold words alone: it scores each row by its number of ones."""

    sums, scores = 1, 1

    def evaluate(self, knobs: Any, lane: Any, rows: Any, sums: Any) -> Tally:
        ones = (rows["words"] == 1).sum(-1, keepdims=True).astype(jnp.float32)
        return Tally(sums + ones.sum(), ones)


@pytest.mark.parametrize("form", ["map", "vmap"])
def test_lanes_evaluate_a_batch_whatever_its_arrays_are_called(form: Any) -> None:
    rows = {"words": jnp.array([[[1, 2], [1, 1]], [[0, 0], [1, 0]]])}  # two chunks of two rows
    lanes, knobs, sums = {"count": jnp.zeros(2)}, jnp.zeros((2, 0)), jnp.array([[5.0], [7.0]])
    has_ended = jnp.array([True, False])
    found = evaluate_lanes(_Counting(), form, lanes, knobs, rows, sums, has_ended)  # type: ignore[arg-type]
    assert found.scores is not None
    assert found.sums[0].tolist() == [9.0]
    assert found.scores[0].tolist() == [[[1.0], [2.0]], [[0.0], [1.0]]]
    if form == "map":
        # A lane that has not ended its epoch keeps its sums.
        assert found.sums[1].tolist() == [7.0]
        assert found.scores[1].tolist() == [[[0.0], [0.0]], [[0.0], [0.0]]]
