"""Scaling of the loss in float16: the sequence of scales, and steps whose gradients overflow."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.program import split
from hpo.engine.training.batches import host_data
from hpo.engine.training.lane import Lane
from hpo.engine.training.task import task_of
from hpo.engine.training.techniques.precision import Scaling, loss_and_gradients, next_scaling
from tests.engine.samples import a_training

_MODEL = {"name": "mlp", "widths": [8], "norm": "batch"}


def test_the_scales_are_those_of_a_grad_scaler() -> None:
    # From 65536: halved at an overflow, doubled after 2000 steps in a row without one.
    scaling = Scaling(jnp.float32(2.0**16), jnp.int32(0))
    step = jax.jit(next_scaling)
    scales = []
    for is_finite in [False, False, *[True] * 2000, False, *[True] * 1999, False, *[True] * 2000]:
        scaling = step(scaling, jnp.asarray(is_finite))
        scales.append(float(scaling.scale))
    changes = [(i, s) for i, s in enumerate(scales) if i == 0 or s != scales[i - 1]]
    expected = [(0, 2**15), (1, 2**14), (2001, 2**15), (2002, 2**14), (4002, 2**13), (6002, 2**14)]
    assert changes == expected


def test_gradients_of_a_scaled_loss_are_those_of_the_loss_unless_they_overflow() -> None:
    def loss_of(weights: Any) -> tuple[Any, Any]:
        return (weights.astype(jnp.float16) ** 2).astype(jnp.float32).sum(), weights

    weights = jnp.array([1.0, -0.25, 2e-5])
    fitting = Scaling(jnp.float32(2.0**10), jnp.int32(0))
    (loss, _), gradients = loss_and_gradients(loss_of, fitting)(weights)
    assert loss == pytest.approx(1.0625)
    np.testing.assert_allclose(gradients, 2 * weights, rtol=1e-2)
    (loss, _), gradients = loss_and_gradients(loss_of, Scaling(jnp.float32(2.0**17), jnp.int32(0)))(
        weights
    )
    assert loss == pytest.approx(1.0625)
    assert np.isnan(gradients).all()


def _lanes(
    data: DataSet, updates: dict[str, Any], scale: float, optimizer: str = "adamw"
) -> tuple[Lane, Lane]:
    """A lane with this scale, and the lane a step later."""
    train = {"epochs": 2, "precision": "float16", "average": {"name": "polyak"}}
    rule = {"name": optimizer, "learning_rate": 0.1}
    training = a_training(model=_MODEL, optimizer=rule, updates=updates, train=train)
    program, knobs = split(training, data, "cpu")
    task = task_of(program)
    before = task.initial(training)
    before = before._replace(scaling=before.scaling._replace(scale=np.float32(scale)))
    arguments = before, host_data(data, is_whole=False), task.feed(training, 0), 1
    return before, jax.device_get(jax.jit(task.train)(knobs, *arguments))


@pytest.mark.parametrize(
    ("optimizer", "updates"), [("adamw", {"accumulate": 2}), ("lion", {"clip_value": 0.1})]
)
def test_a_step_that_overflows_changes_the_scale_and_no_weights(
    tiny: DataSet, optimizer: str, updates: dict[str, Any]
) -> None:
    before, after = _lanes(tiny, updates, 1e30, optimizer)
    for name in ("params", "variables", "optimizer", "copies"):
        jax.tree.map(np.testing.assert_array_equal, getattr(before, name), getattr(after, name))
    assert float(after.scaling.scale) == np.float32(1e30) / 2
    assert (int(before.step), int(after.step)) == (0, 1)
    assert 0 < float(after.loss_sum) < 10


def test_a_step_that_fits_trains_weights_in_float32(tiny: DataSet) -> None:
    before, after = _lanes(tiny, {}, 2.0**10)
    assert np.abs(before.params - after.params).max() > 0.01
    assert float(after.scaling.scale) == 2.0**10
    assert int(after.scaling.steps) == 1
    floats = [a for a in jax.tree.leaves(after) if jnp.issubdtype(a.dtype, jnp.floating)]
    assert {a.dtype for a in floats} == {np.dtype("float32")}
