"""A lane as named arrays, for a checkpoint."""

from __future__ import annotations

from hpo.data.dataset import DataSet
from hpo.engine.devices import local_devices
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.training.lane import Lane, lane_from_arrays, lane_to_arrays
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
