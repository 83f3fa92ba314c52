"""Places: lanes on several devices learn as on one, and each device has its share of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest

from hpo.engine.devices import local_devices
from hpo.engine.mesh import devices_of, even_lanes, places
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans
from tests.checkout import ROOT
from tests.engine.samples import a_training, tiny_data

Curves = list[list[float]]

EIGHT_DEVICES = """
import json
from tests.engine.test_mesh import learn
print(json.dumps(learn(devices=8, lanes=16)))
"""
_COMPILER = Compiler()


def a_pool(devices: int, lanes: int) -> Pool:
    """A pool of `a_training` on a mesh of several devices."""
    (place,) = places(local_devices("cpu")[:devices], is_meshed=True)
    pool = Pool(place, _COMPILER)
    program, _ = split(a_training(), tiny_data(), "cpu")
    # One fewer than a multiple of several devices.
    plan = pool.load(program, Plans(Plan("vmap", lanes - (devices > 1))), tiny_data())
    assert plan.lanes == pool.lane_count == lanes
    return pool


def learn(devices: int, lanes: int) -> tuple[Curves, list[int]]:
    """The losses of `lanes` trials, and the number of lanes on each device.

    Halfway, every trial moves to a lane of another device.
    """
    pool, curves = a_pool(devices, lanes), [[] for _ in range(lanes)]
    trainings = [a_training(n, optimizer__learning_rate=0.01 + 0.002 * n) for n in range(lanes)]
    states: list[Any] = [None] * lanes
    for to_epoch, shift in ((2, 0), (4, lanes // 2)):
        for n, training in enumerate(trainings):
            _, knobs = split(training, tiny_data(), "cpu")
            pool.put((n + shift) % lanes, n, training, knobs, states[n], to_epoch)
        while pool.has_work:
            for report in pool.round():
                curves[report.run].append(report.metrics["loss"])
        states = [pool.take((n + shift) % lanes) for n in range(lanes)]
    shards = pool._lanes.step.addressable_shards
    return curves, [len(shard.data) for shard in shards]


@pytest.fixture(scope="module")
def alone() -> Curves:
    return learn(devices=1, lanes=4)[0]


def test_lanes_over_two_devices_learn_the_same_as_on_one(alone: Curves) -> None:
    together, shares = learn(devices=2, lanes=4)
    assert shares == [2, 2]
    np.testing.assert_allclose(together, alone, rtol=1e-4)


def test_lanes_over_eight_devices_learn_the_same_as_on_one_and_each_has_an_eighth(
    alone: Curves,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EIGHT_DEVICES],
        cwd=ROOT,
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "8", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    together, shares = json.loads(done.stdout)
    assert shares == [2] * 8
    np.testing.assert_allclose(together[:4], alone, rtol=1e-4)


def test_moving_a_state_between_devices_keeps_its_bits() -> None:
    pool = a_pool(devices=2, lanes=4)
    training = a_training(7)
    _, knobs = split(training, tiny_data(), "cpu")
    pool.put(1, 7, training, knobs, None, 1)
    pool.round()
    state = pool.take(1)
    # -0.0 equals 0.0 but has other bits, which the move must keep.
    state = state._replace(loss_sum=np.float32(-0.0))
    pool.put(3, 7, training, knobs, state, 4)
    moved = pool.take(3)
    assert [a.tobytes() for a in jax.tree.leaves(moved)] == [
        a.tobytes() for a in jax.tree.leaves(state)
    ]


def test_devices_do_not_communicate_during_a_round() -> None:
    text = a_pool(devices=2, lanes=4)._operations.round.as_text()
    assert not [word for word in ("all-reduce", "all-gather", "collective") if word in text]


@pytest.mark.parametrize(("is_meshed", "sizes"), [(False, [1, 1]), (True, [2])])
def test_devices_have_a_pool_each_or_one_over_all(is_meshed: bool, sizes: list[int]) -> None:
    devices = local_devices("cpu")[:2]
    found = places(devices, is_meshed=is_meshed)
    assert [len(devices_of(place)) for place in found] == sizes
    assert [device for place in found for device in devices_of(place)] == devices
    assert places(devices[:1], is_meshed=is_meshed) == devices[:1]


def test_lanes_are_rounded_up_to_a_multiple_of_the_devices() -> None:
    (mesh,) = places(local_devices("cpu")[:2], is_meshed=True)
    assert [even_lanes(mesh, lanes) for lanes in (1, 2, 5)] == [2, 2, 6]


def test_lanes_of_a_device_learn_the_same_bits_beside_another_as_alone() -> None:
    # A model whose last bits depend on the number of lanes that train at once.
    model = {"name": "mlp", "widths": [64], "activation": "gelu", "norm": "layer"}
    training = a_training(model=model)
    program, knobs = split(training, tiny_data(), "cpu")

    def curve(place: Any, lanes: int) -> tuple[int, list[dict[str, float]]]:
        pool, reports = Pool(place, _COMPILER), []
        plan = pool.load(program, Plans(Plan("vmap", lanes)), tiny_data())
        pool.put(lanes - 1, 0, training, knobs, None, 2)
        while pool.has_work:
            reports += [report.metrics for report in pool.round()]
        return plan.together, reports

    devices = local_devices("cpu")[:2]
    (mesh,) = places(devices, is_meshed=True)
    assert curve(mesh, 8) == curve(devices[0], 4)
