"""Sums over the chunks of a split, and which loss a task has."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from hpo.data.dataset import DataSet, Split
from hpo.engine.program import split
from hpo.engine.training.batches import host_rows
from hpo.engine.training.supervised import Supervised, initial_lane
from hpo.engine.training.targets.sums import (
    check_loss,
    metrics,
)
from hpo.engine.training.weights import parted
from hpo.errors import HpoError
from tests.engine.samples import (
    ROWS,
    a_split,
    a_training,
    tiny_data,
)


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
