"""Zeros among weights, against NumPy's sorts and the formula of the paper by hand."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.program import split
from hpo.engine.training.batches import host_data
from hpo.engine.training.compression.sparsity import (
    CUT,
    FREE,
    KEPT,
    lowest,
    scheduled_share,
    smallest_cut,
)
from hpo.engine.training.lane import lane_from_arrays, lane_to_arrays
from hpo.engine.training.supervised import own_weights
from hpo.engine.training.task import task_of
from hpo.spec.sections.compression.sparsity import Sparsity
from tests.engine.samples import Learn, a_training

MAGNITUDE = {"sparsity": {"name": "magnitude", "share": 0.75, "begin": 0.25, "end": 0.75}}
STEPS = 6  # of an epoch of the tiny data


def _trained(data: DataSet, epochs: int, count: int = STEPS, **leaves: Any) -> list[Any]:
    """The lanes of a training after each of its epochs, trained `count` steps at once."""
    training = a_training(**leaves)
    program, knobs = split(training, data, "cpu")
    task = task_of(program)
    lane, found, train = task.initial(training), [], jax.jit(task.train)
    rows = host_data(data, is_whole=False)
    for epoch in range(epochs):
        feed = task.feed(training, epoch)
        for _ in range(STEPS // count):
            lane = train(knobs, lane, rows, feed, count)
            # As a checkpoint does.
            lane = lane_from_arrays(task.shapes(), lane_to_arrays(jax.device_get(lane)))
        found.append(own_weights(program, training, lane)[0])
    return found


def _zeros(weights: Any) -> int:
    kernels = [weights["linears"][0]["kernel"], weights["head"]["kernel"]]
    return sum(int((np.asarray(kernel) == 0).sum()) for kernel in kernels)


def test_the_lowest_numbers_are_those_of_a_stable_sort() -> None:
    rng = np.random.default_rng(0)
    for high in (5, 2**31, 2**32):
        numbers = rng.integers(0, high, 200, dtype=np.uint32)
        order = np.argsort(numbers, kind="stable")
        for count in (0, 1, 77, 200):
            found = lowest(jnp.asarray(numbers), jnp.asarray(count))
            assert [*np.flatnonzero(found)] == sorted(order[:count])


def test_the_smallest_weights_are_cut_and_those_that_may_not_be_are_never_counted() -> None:
    rng = np.random.default_rng(1)
    weights = rng.standard_normal(90).astype(np.float32)
    connections = rng.choice([FREE, KEPT], 90).astype(np.int8)
    may = np.flatnonzero(connections == KEPT)
    found = np.asarray(smallest_cut(connections, weights, jnp.float32(0.4)))
    smallest = may[np.argsort(abs(weights[may]))][: round(0.4 * len(may))]
    assert [*np.flatnonzero(found == CUT)] == sorted(smallest)
    assert ((found == FREE) == (connections == FREE)).all()
    # Those that are cut stay so, and come before all others.
    more = np.asarray(smallest_cut(found, weights[::-1].copy(), jnp.float32(0.6)))
    assert set(smallest) < {*np.flatnonzero(more == CUT)}
    assert (more == CUT).sum() == round(0.6 * len(may))


def test_the_share_follows_the_cubic_schedule() -> None:
    sparsity = Sparsity.model_validate(MAGNITUDE["sparsity"])
    times = [0.0, 0.25, 0.375, 0.5, 0.625, 0.75, 1.0]
    found = [float(scheduled_share(sparsity, jnp.float32(time))) for time in times]
    # Zhu and Gupta 2017, Equation 1: s (1 - (1 - t)^3) at t = 0, 0, 1/4, 1/2, 3/4, 1 and 1.
    expected = [0.75 * part for part in (0, 0, 37 / 64, 7 / 8, 63 / 64, 1, 1)]
    assert found == pytest.approx(expected, abs=1e-5)
    at_once = Sparsity.model_validate({"name": "magnitude", "share": 0.5, "begin": 0.5, "end": 0.5})
    assert [float(scheduled_share(at_once, jnp.float32(t))) for t in (0.25, 0.5)] == [0, 0.5]


def test_a_lane_has_the_zeros_of_the_schedule_after_each_epoch(tiny: DataSet) -> None:
    # 64 weights of 5 * 8 + 8 * 3; the schedule is at t = 0, 1/2, 1 and 1.
    found = _trained(tiny, 4, compression=MAGNITUDE)
    assert [_zeros(weights) for weights in found] == [0, 42, 48, 48]
    kept = np.concatenate([np.ravel(found[2][name]["bias"]) for name in ("head",)])
    assert (kept != 0).all()
    layered = {"sparsity": {**MAGNITUDE["sparsity"], "scope": "layer"}}
    last = _trained(tiny, 4, compression=layered)[-1]
    assert (np.asarray(last["linears"][0]["kernel"]) == 0).sum() == 30
    assert (np.asarray(last["head"]["kernel"]) == 0).sum() == 18


def test_a_lane_resumed_in_the_middle_of_pruning_learns_the_same(tiny: DataSet) -> None:
    whole = _trained(tiny, 4, compression=MAGNITUDE)
    parts = _trained(tiny, 4, count=2, compression=MAGNITUDE)
    jax.tree.map(np.testing.assert_array_equal, parts, whole)


@pytest.mark.parametrize(
    "leaves",
    [
        {"optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}},
        {"optimizer": {"name": "lion", "learning_rate": 0.01}},
        {"optimizer": {"name": "schedule_free", "learning_rate": 0.01}},
        {"train__average": {"name": "ema", "decay": 0.5}},
        {"updates": {"lookahead": 4, "weight_noise": 0.1, "sam_radius": 0.1}},
    ],
    ids=lambda leaves: str(next(iter(leaves.values()))),
)
def test_zeros_hold_through_optimizers_and_averages(tiny: DataSet, leaves: dict[str, Any]) -> None:
    assert _zeros(_trained(tiny, 4, compression=MAGNITUDE, **leaves)[-1]) == 48


def test_merged_programs_count_only_a_trials_own_weights(tiny: DataSet) -> None:
    merged = {"widths": [[8], [12], [3, 3]]}
    leaves = {"compression": MAGNITUDE, "train__merged": merged}
    alone = _trained(tiny, 4, compression=MAGNITUDE)
    together = _trained(tiny, 4, **leaves)
    assert [_zeros(weights) for weights in together] == [_zeros(weights) for weights in alone]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), together, alone)


def test_shares_vary_in_one_program_and_are_the_lanes_own(tiny: DataSet, learn: Learn) -> None:
    trainings = [
        a_training(
            number,
            compression={"sparsity": {"name": "magnitude", "share": share, "end": end}},
            train__varying=["compression.sparsity.share"],
        )
        for number, (share, end) in enumerate([(0.0, 0.5), (0.5, 0.7), (0.9, 1.0)])
    ]
    assert len({split(training, tiny, "cpu")[0] for training in trainings}) == 1
    together = learn(tiny, trainings, lanes=2)
    for number, training in enumerate(trainings):
        assert learn(tiny, [training], lanes=2)[number] == together[number]


def test_no_share_gives_the_bits_of_no_sparsity(tiny: DataSet, learn: Learn) -> None:
    none = a_training(compression={"sparsity": {"name": "magnitude"}})
    assert learn(tiny, [none]) == learn(tiny, [a_training()])
