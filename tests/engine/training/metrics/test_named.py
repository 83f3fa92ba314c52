"""Metrics that are computed only where they are named, against NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpo.data.corruptions import CORRUPTED, Rows, corrupted, dealt
from hpo.data.dataset import Split
from hpo.engine.program import split
from hpo.engine.training.batches import host_rows
from hpo.engine.training.forward import forward
from hpo.engine.training.supervised import initial_lane, judged, own_weights
from hpo.engine.training.task import task_of
from hpo.errors import HpoError
from tests.engine.samples import a_training, tiny_data, weighted


def test_the_robust_accuracy_of_a_linear_model_is_that_of_its_worst_cases() -> None:
    data = tiny_data()
    part = data.validation
    for epsilon in (1e-6, 0.1, 5.0):
        training = a_training(
            model={"name": "mlp", "widths": []},
            attack={"judge_epsilon": epsilon},
            train={"epochs": 1, "metrics": ["robust_accuracy"]},
        )
        program, knobs = split(training, data, "cpu")
        task, lane = task_of(program), initial_lane(program, training)
        # Weights of which each class has its own feature, so that the other classes tie.
        shapes = jax.tree.map(np.shape, judged(program, training, lane)[0])
        assert jax.tree.leaves(shapes, is_leaf=lambda leaf: isinstance(leaf, tuple))
        kernel = np.zeros((5, 3), np.float32)
        kernel[:3] = np.eye(3)
        lane = lane._replace(params=np.concatenate([np.zeros(3, np.float32), kernel.ravel()]))

        tally = jax.device_get(
            task.evaluate(knobs, lane, jax.tree.map(jnp.asarray, host_rows(part)))
        )
        found = task.metrics(data, part, tally.sums, tally.scores)

        # The gap to the next class falls by epsilon for both of their features.
        own = part.x[np.arange(len(part)), part.y]
        others = part.x[:, :3].copy()
        others[np.arange(len(part)), part.y] = -np.inf
        gap = own - others.max(1)
        assert tally.scores is None
        assert found["accuracy"] == 1.0
        assert found["robust_accuracy"] == pytest.approx((gap > 2 * epsilon).mean())


def test_the_corrupted_accuracy_is_the_accuracy_on_a_corrupted_copy() -> None:
    training = a_training(
        data={
            "dataset": "iris",
            "batch_size": 16,
            "corrupt": {"kinds": ["gaussian_noise", "salt_pepper"], "severity": 2.0},
        },
        train={"epochs": 1, "metrics": ["corrupted_accuracy", "robust_accuracy"]},
        attack={"judge_epsilon": 0.1},
    )
    data = corrupted(tiny_data(), training.data, Path())
    program, knobs = split(training, data, "cpu")
    task, lane = task_of(program), initial_lane(program, training)

    def judge(part: Split) -> dict[str, float]:
        rows = jax.tree.map(jnp.asarray, host_rows(part))
        tally = jax.device_get(task.evaluate(knobs, lane, rows))
        return task.metrics(data, part, tally.sums, tally.scores)

    part = data.validation
    copy = Split({**part.arrays, "x": part.arrays[CORRUPTED]})
    found, wanted = judge(part), judge(copy)["accuracy"]
    assert found["corrupted_accuracy"] == pytest.approx(wanted)
    assert found["corrupted_accuracy"] != pytest.approx(found["accuracy"])


@pytest.mark.parametrize("merged", [None, {"widths": [[8, 6], [12, 12], [3]]}])
def test_the_activation_sparsity_is_numpys_count_of_zeros(merged: Any) -> None:
    data, train = tiny_data(), {"epochs": 1, "metrics": ["activation_sparsity"]}
    train |= {} if merged is None else {"merged": merged}
    training = a_training(model={"name": "mlp", "widths": [8, 6]}, train=train)
    program, knobs = split(training, data, "cpu")
    assert bool(program.merged) == (merged is not None)
    task, lane = task_of(program), initial_lane(program, training)
    rows = jax.tree.map(jnp.asarray, host_rows(data.validation))
    tally = jax.device_get(task.evaluate(knobs, lane, rows))
    found = task.metrics(data, data.validation, tally.sums, tally.scores)
    weights, _ = own_weights(program, training, lane)
    x, zeros = data.validation.x, 0
    for layer in weights["linears"].values():
        x = np.maximum(x @ layer["kernel"] + layer["bias"], 0)
        zeros += (x == 0).sum()
    assert 0.3 < found["activation_sparsity"] < 0.7
    assert found["activation_sparsity"] == pytest.approx(zeros / (14 * len(x)), rel=1e-6)


def test_the_activation_sparsity_is_refused_where_nothing_can_be_counted() -> None:
    data = tiny_data()
    training = a_training(
        model={"name": "mlp", "widths": []}, train={"epochs": 1, "metrics": ["activation_sparsity"]}
    )
    program, knobs = split(training, data, "cpu")
    rows = jax.tree.map(jnp.asarray, host_rows(data.validation))
    with pytest.raises(HpoError, match=r"activation_sparsity: this model has no model\.activation"):
        task_of(program).evaluate(knobs, initial_lane(program, training), rows)


@pytest.mark.parametrize("count", [7, 95])
@pytest.mark.parametrize("has_copy", [False, True])
def test_the_accuracy_on_rows_of_the_users_own_is_their_weighted_share_that_is_right(
    count: int, has_copy: bool
) -> None:
    data, rng = tiny_data(), np.random.default_rng(4)
    training = a_training(train={"epochs": 1, "metrics": ["corrupted_accuracy"]})
    part = weighted(data.validation)
    if has_copy:
        part = Split({**part.arrays, CORRUPTED: part.x + 1})
    x = rng.standard_normal((count, 5)).astype(np.float32)
    own = Rows(x, rng.integers(0, 3, count), rng.uniform(0.5, 2, count))
    program, knobs = split(training, data, "cpu")
    task, lane = task_of(program), initial_lane(program, training)
    dealt_out = dealt(part, own)
    tally = jax.device_get(
        task.evaluate(knobs, lane, jax.tree.map(jnp.asarray, host_rows(dealt_out)))
    )
    found = task.metrics(data, dealt_out, tally.sums, tally.scores)

    params, variables = judged(program, training, lane)
    training = program.fill(knobs)

    def is_right(rows: np.ndarray, y: np.ndarray) -> np.ndarray:
        outputs = forward(program, training, params, variables, {"x": rows})[0]
        return np.asarray(outputs).argmax(1) == y

    right, weight = is_right(x, own.y), own.weight
    if has_copy:
        copied = is_right(part.arrays[CORRUPTED], part.y)
        right = np.concatenate([copied, right])
        weight = np.concatenate([part.arrays["weight"], weight])
    assert found["corrupted_accuracy"] == pytest.approx(np.average(right, weights=weight), rel=1e-5)
    assert found["accuracy"] == pytest.approx(
        np.average(is_right(part.x, part.y), weights=part.arrays["weight"]), rel=1e-5
    )
