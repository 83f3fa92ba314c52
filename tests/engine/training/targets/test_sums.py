"""Sums over the chunks of a split, and which loss a task has."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax

from hpo.data.dataset import DataSet, Split
from hpo.data.transforms.transform import FittedTransform
from hpo.engine.models.abstract import Members
from hpo.engine.program import split
from hpo.engine.training.batches import host_rows
from hpo.engine.training.supervised import Supervised, initial_lane
from hpo.engine.training.targets.regression import in_own_unit
from hpo.engine.training.targets.sums import (
    TARGETS,
    batch_loss,
    check_loss,
    joined,
    metric_sums,
    metrics,
)
from hpo.engine.training.weights import parted
from hpo.errors import HpoError
from hpo.spec.sections.data import Task
from tests.engine.samples import (
    ROWS,
    a_split,
    a_training,
    tiny_data,
)

_MANY = 200_000


@given(size=st.integers(1, 3000) | st.sampled_from([511, 512, 513, 1023, 1024, 1025]))
def test_chunks_hold_every_row_in_order_and_little_padding(size: int) -> None:
    x = np.arange(2.0 * size, dtype=np.float32).reshape(size, 2)
    part = Split({"x": x, "y": np.arange(size)})
    rows = host_rows(part)
    chunks, length = rows["y"].shape
    counted = rows["weight"].reshape(-1) == 1
    np.testing.assert_array_equal(rows["x"].reshape(-1, 2)[counted], part.x)
    np.testing.assert_array_equal(rows["y"].reshape(-1)[counted], part.y)
    assert rows["weight"].sum() == size
    assert length <= 512
    assert chunks * length - size < chunks


@pytest.mark.parametrize("size", [1, 511, 513, 1025])
def test_an_evaluation_in_chunks_is_that_of_the_whole_split(size: int) -> None:
    rng = np.random.default_rng(0)
    train, validation = a_split(rng, ROWS, (5,)), a_split(rng, size, (5,))
    data = DataSet("classification", train, validation, None, 3, "t")
    training = a_training(model={"name": "mlp", "widths": [4]})
    program, knobs = split(training, data, "cpu")
    lane = initial_lane(program, training)
    tally = jax.jit(Supervised(program).evaluate)(knobs, lane, host_rows(validation))

    weights = parted(program, lane.params)
    hidden = np.maximum(validation.x @ weights["linears"][0]["kernel"], 0)
    odds = np.exp(hidden @ weights["head"]["kernel"])  # biases start at 0
    probabilities = odds / odds.sum(1, keepdims=True)
    expected = sklearn.metrics.log_loss(validation.y, probabilities, labels=[0, 1, 2])
    assert metrics(data, validation, np.asarray(tally.sums), None) == pytest.approx(
        {"loss": expected, "accuracy": (odds.argmax(1) == validation.y).mean()}, rel=1e-4
    )


def test_a_loss_for_another_task_is_refused_once_the_data_are_known() -> None:
    program, _ = split(a_training(loss={"name": "pinball"}), tiny_data(), "cpu")
    with pytest.raises(HpoError, match=r"pinball is not a loss of classification: write one of c"):
        check_loss(program)


def test_a_program_says_which_loss_it_has() -> None:
    program, _ = split(a_training(loss={"name": "focal"}), tiny_data(), "cpu")
    assert "loss focal" in str(program)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000),
    offset=st.sampled_from([0.0, 1e4, -1e9]),
    noise=st.sampled_from([2.0, 0.1, 1e-3]),
)
def test_sums_in_float32_give_the_metrics_of_scikit_learn_to_a_millionth(
    seed: int, offset: float, noise: float
) -> None:
    rng = np.random.default_rng(seed)
    own = offset + 5 * rng.standard_normal(_MANY)
    scale = FittedTransform(target_mean=np.array(own.mean()), target_std=np.array(own.std()))
    y = ((own - own.mean()) / own.std()).astype(np.float32)
    part = Split({"x": np.zeros((_MANY, 1), np.float32), "y": y})
    data = DataSet("regression", part, part, None, 1, "r", transform=scale)
    outputs = (y + noise * rng.standard_normal(_MANY)).astype(np.float32)[:, None]
    found = metrics(data, part, _chunk_sums("regression", part, outputs), None)

    true, predicted = (in_own_unit(a.astype(np.float64), data) for a in (y, outputs[:, 0]))
    assert found["rmse"] == approx(sklearn.metrics.root_mean_squared_error(true, predicted))
    assert found["mae"] == approx(sklearn.metrics.mean_absolute_error(true, predicted))
    # R2 is 1 less a ratio of sums, which has their precision.
    assert 1 - found["r2"] == approx(1 - sklearn.metrics.r2_score(true, predicted))


def test_the_accuracy_and_loss_of_many_rows_are_those_of_scikit_learn_to_a_millionth() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, _MANY).astype(np.int32)
    part = Split({"x": np.zeros((_MANY, 1), np.float32), "y": y})
    data = DataSet("classification", part, part, None, 3, "c")
    outputs = (30 * np.eye(3)[y] + 9 * rng.standard_normal((_MANY, 3))).astype(np.float32)
    found = metrics(data, part, _chunk_sums("classification", part, outputs), None)
    chances = softmax(outputs.astype(np.float64), axis=1)
    assert found["accuracy"] == approx(sklearn.metrics.accuracy_score(y, outputs.argmax(1)))
    assert found["loss"] == approx(sklearn.metrics.log_loss(y, chances))


def approx(expected: float) -> Any:
    return pytest.approx(expected, rel=1e-6)


@lru_cache
def _summed(kind: Task) -> Any:
    """The sums over chunks, in the order in which an evaluation adds them."""

    def of(batches: Any, outputs: Any) -> Any:
        def add(sums: Any, part: Any) -> Any:
            return sums + metric_sums(kind, part[1], part[0], None), None

        return jax.lax.scan(add, np.zeros(2, np.float32), (batches, outputs))[0]

    return jax.jit(of)


def _chunk_sums(kind: Task, part: Split, outputs: np.ndarray) -> np.ndarray:
    batches = host_rows(part)
    chunks, rows = batches["y"].shape
    padded = np.pad(outputs, ((0, chunks * rows - len(outputs)), (0, 0)))
    return np.asarray(_summed(kind)(batches, padded.reshape(chunks, rows, -1)))


_OUTPUTS = np.random.default_rng(0).normal(0, 3, (6, 4, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("task", "prediction"),
    [
        ("classification", lambda outputs: softmax(outputs, -1)),
        ("multilabel", expit),
        ("counts", np.exp),
        ("regression", lambda outputs: outputs),
    ],
)
def test_the_mean_prediction_is_that_of_the_members(task: Any, prediction: Any) -> None:
    found = joined(task, Members(jnp.asarray(_OUTPUTS)))
    assert found.shape == (6, 3)
    np.testing.assert_allclose(
        prediction(np.asarray(found)), prediction(_OUTPUTS).mean(1), rtol=2e-5, atol=1e-6
    )


def test_a_task_with_an_answer_for_each_position_has_no_members() -> None:
    assert {name for name, targets in TARGETS.items() if targets.joined is None} == {
        "segmentation",
        "language",
    }


def test_the_loss_is_the_mean_of_those_of_the_members_with_the_weights_of_rows() -> None:
    y, weight = np.array([0, 1, 2, 0, 1, 2]), np.array([2.0, 1, 1, 1, 1, 0], np.float32)
    batch = {"y": y, "weight": weight}
    loss = batch_loss("classification", Members(jnp.asarray(_OUTPUTS)), batch, None)
    chosen = np.log(softmax(_OUTPUTS.astype(np.float64), -1))[np.arange(6), :, y]
    np.testing.assert_allclose(loss, -(chosen * weight[:, None]).mean(), rtol=1e-5)
