"""A lane as named arrays, for a checkpoint."""

from __future__ import annotations

import jax
import numpy as np

from hpo.data.dataset import DataSet
from hpo.engine.devices import local_devices
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.training.lane import Lane, lane_from_arrays, lane_to_arrays
from hpo.trial import Run
from tests.engine.samples import a_training


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
