"""The bound of the largest singular value of kernels, against NumPy's singular values."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from hpo.data.dataset import DataSet
from hpo.engine.program import split
from hpo.engine.training.batches import host_data
from hpo.engine.training.task import task_of
from hpo.engine.training.techniques.layers import Layers
from hpo.engine.training.techniques.spectral import bounded, first_directions, power_iteration
from hpo.engine.training.weights import parted
from hpo.spec.merging import served
from hpo.spec.sections.updates import Updates
from tests.engine.samples import a_training


def _largest(kernel: Any) -> float:
    matrix = np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1])
    return float(np.linalg.svd(matrix, compute_uv=False)[0])


def test_power_iterations_find_the_largest_singular_value() -> None:
    matrix = np.random.default_rng(0).standard_normal((30, 8)).astype(np.float32)
    direction, norms = jnp.ones(8), []
    for _ in range(60):
        norm, direction = power_iteration(jnp.asarray(matrix), direction)
        norms.append(float(norm))
    assert norms[0] < 0.95 * norms[-1]
    assert norms[-1] == pytest.approx(_largest(matrix), rel=1e-4)


def test_kernels_above_the_bound_are_scaled_to_it_and_others_stay() -> None:
    rng = np.random.default_rng(1)
    tree = {
        "conv": {"kernel": rng.standard_normal((3, 3, 2, 5)).astype(np.float32)},
        "head": {
            "kernel": 0.01 * rng.standard_normal((6, 3)).astype(np.float32),
            "bias": np.full(3, 9.0, np.float32),
        },
        "kept": {"kernel": rng.standard_normal((6, 3)).astype(np.float32)},
    }
    vector, part = ravel_pytree(tree)
    layers = Layers(part, lambda leaves: ravel_pytree(leaves)[0])
    updates = Updates(spectral_norm=1.5, freeze=("kept",))
    found, _ = bounded(updates, layers, vector, first_directions(tree))
    after = part(found)
    assert _largest(tree["conv"]["kernel"]) > 2
    assert _largest(after["conv"]["kernel"]) == pytest.approx(1.5, rel=1e-5)
    scale = 1.5 / _largest(tree["conv"]["kernel"])
    np.testing.assert_allclose(after["conv"]["kernel"], scale * tree["conv"]["kernel"], rtol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, after["head"], tree["head"])
    jax.tree.map(np.testing.assert_array_equal, after["kept"], tree["kept"])


def test_kernels_stay_within_the_bound_while_a_lane_trains(tiny: DataSet) -> None:
    training = a_training(updates={"spectral_norm": 0.7}, optimizer__learning_rate=0.01)
    program, knobs = split(training, tiny, "cpu")
    task = task_of(program)
    lane = task.initial(training)
    train = jax.jit(task.train)
    for epoch in range(4):
        lane = train(knobs, lane, host_data(tiny, is_whole=False), task.feed(training, epoch), 6)
        kernels = parted(program, lane.params)
        norms = [_largest(kernels["linears"][0]["kernel"]), _largest(kernels["head"]["kernel"])]
        assert max(norms) == pytest.approx(0.7, rel=0.05)
    assert {
        *served(a_training(updates={"spectral_norm": 0.7}, train__merged={"widths": [[4], [8]]}))
    } == set()
