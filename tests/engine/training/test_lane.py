"""A lane as named arrays, for a checkpoint."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.devices import local_devices
from hpo.engine.pools import pool as pools
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.training.lane import Lane, lane_from_arrays, lane_to_arrays
from hpo.engine.training.task import Progress
from hpo.registry import MODELS
from hpo.trial import Run
from tests.engine.samples import SMALL_MODELS, a_training


def test_a_checkpoint_of_another_program_is_refused(tiny: DataSet, compiler: Compiler) -> None:
    pool = Pool(local_devices("cpu")[0], compiler)
    states: list[Lane] = []
    for widths in ([8], [4, 4]):
        training = a_training(model={"name": "mlp", "widths": widths})
        program, knobs = split(training, tiny, "cpu")
        pool.load(program, Plans(Plan("map", 1)), tiny)
        pool.put(0, 0, training, knobs, None, 1)
        states.append(pool.take(0))
    assert lane_from_arrays(states[0], lane_to_arrays(states[1])) is None


def test_a_lane_with_averages_and_a_scale_goes_on_from_its_checkpoint_to_the_bit(
    tiny: DataSet, compiler: Compiler
) -> None:
    train = {"epochs": 3, "precision": "float16", "average": {"name": "swa", "start": 0.0}}
    model = {"name": "mlp", "widths": [8], "norm": "batch"}
    training = a_training(model=model, train=train, updates={"lookahead": 4, "spectral_norm": 1.0})
    program, knobs = split(training, tiny, "cpu")
    pool = Pool(local_devices("cpu")[0], compiler)
    pool.load(program, Plans(Plan("map", 1)), tiny)

    def after(state: Lane | None, epoch: int) -> Lane:
        pool.put(0, Run(0), training, knobs, state, epoch)
        while pool.has_work:
            pool.round()
        lane: Lane = pool.take(0)
        pool.clear(0)
        return lane

    whole, paused = after(None, 3), after(None, 1)
    state = lane_from_arrays(paused, dict(lane_to_arrays(paused)))
    jax.tree.map(np.testing.assert_array_equal, after(state, 3), whole)
    assert {*whole.copies} == {"average", "directions", "slow", "variables"}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_goes_on_from_the_middle_of_an_epoch_to_the_bit(
    name: str,
    tiny: DataSet,
    images: DataSet,
    compiler: Compiler,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "_FIRST_PARTS", 4)  # the first round ends within the first epoch
    model = {"name": name, **SMALL_MODELS.get(name, {})}
    training = a_training(model=model, train={"epochs": 2})
    data = images if "images" in MODELS[name].needs else tiny
    program, knobs = split(training, data, "cpu")
    pool = Pool(local_devices("cpu")[0], compiler)
    pool.load(program, Plans(Plan("map", 2)), data)

    pool.put(0, Run(0), training, knobs, None, 2)
    pool.round()
    paused = pool.take(0)
    assert pool.occupant(0) == (Run(0), Progress(0, 4))
    state = lane_from_arrays(paused, dict(lane_to_arrays(paused)))
    pool.put(1, Run(1), training, knobs, state, 2)
    reports = []
    while pool.has_work:
        reports += pool.round()
    whole, resumed = ([r.metrics for r in reports if r.run == Run(n)] for n in (0, 1))
    assert whole == resumed
    assert len(whole) == 2
    jax.tree.map(np.testing.assert_array_equal, pool.take(0), pool.take(1))
