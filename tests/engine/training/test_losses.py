"""Losses of a user's own, against ours and those of Optax."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest

from hpo.engine.program import split
from hpo.engine.training.losses import look_at_loss, own_rows
from hpo.engine.training.targets import batch_loss, metric_sums, metrics
from hpo.errors import HpoError
from hpo.spec.code.frames import CodeError
from hpo.spec.code.own_loss import OwnLoss
from hpo.spec.experiment import Training
from hpo.spec.load import load_document
from tests.documents import SMALL
from tests.engine.samples import Learn, a_split, tiny_data

SOURCE = """
import jax.numpy as jnp
import optax

def focal(outputs, y, gamma=2.0):
    entropy = optax.softmax_cross_entropy_with_integer_labels(outputs, y)
    return (1 - jnp.exp(-entropy)) ** gamma * entropy

def plain(outputs, y):
    return optax.softmax_cross_entropy_with_integer_labels(outputs, y)

def of_batch(outputs, batch, gamma: float = 2.0):
    assert sorted(batch) == ["x", "y"]
    return plain(outputs, batch["y"]) + 0 * batch["x"].sum(1)

def logs(outputs, y):
    return jnp.log(y + 0.0) * outputs[:, 0]

def mean(outputs, y):
    return plain(outputs, y).mean()

def branches(outputs, y, gamma=2.0):
    return outputs.nothing
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "losses.py").write_text(SOURCE)
    return tmp_path


def a_training(folder: Path, function: str, **keys: Any) -> Training:
    document = {
        **SMALL,
        "data": {"dataset": "iris", "batch_size": 16},
        "loss": {"python": f"losses.py:{function}", **keys},
        "train": {"epochs": 2},
    }
    return load_document(document, folder).training


def a_loss(folder: Path, function: str, **keys: Any) -> OwnLoss:
    loss = a_training(folder, function, **keys).loss
    assert loss is not None
    return loss


def a_batch() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    outputs = rng.standard_normal((20, 3)).astype(np.float32)
    return outputs, {**a_split(rng, 20, (5,)).arrays}


def test_a_focal_loss_is_that_of_optax(folder: Path) -> None:
    outputs, batch = a_batch()
    # The focal loss of each class against the rest, with a sigmoid: of one class it is the same.
    two = np.stack([outputs[:, 0], np.zeros(20, np.float32)], axis=1)
    hit = (batch["y"] == 0).astype(np.float32)
    expected = optax.sigmoid_focal_loss(two[:, 0], hit, gamma=1.5)

    rows = own_rows(a_loss(folder, "focal", gamma=1.5), two, {"y": 1 - hit.astype(np.int32)})

    np.testing.assert_allclose(rows, expected, rtol=1e-5)


def test_a_focal_loss_with_gamma_0_and_its_gradient_are_those_of_our_cross_entropy(
    folder: Path,
) -> None:
    outputs, batch = a_batch()
    batch["weight"] = np.linspace(0, 2, 20, dtype=np.float32)
    own = a_loss(folder, "focal", gamma=0.0)

    found = jax.value_and_grad(lambda x: batch_loss("classification", x, batch, own))(outputs)
    ours = jax.value_and_grad(lambda x: batch_loss("classification", x, batch))(outputs)

    np.testing.assert_allclose(found[0], ours[0], rtol=1e-6)
    np.testing.assert_allclose(found[1], ours[1], atol=1e-7)


@pytest.mark.parametrize("function", ["plain", "of_batch"])
def test_a_copy_of_our_loss_trains_to_our_bits(folder: Path, learn: Learn, function: str) -> None:
    data, own = tiny_data(), a_training(folder, function)
    ours = Training.model_validate(own.model_dump(exclude={"loss"}))

    assert learn(data, [own]) == learn(data, [ours])


def test_the_numbers_of_a_loss_share_a_program_and_each_lane_trains_as_alone(
    folder: Path, learn: Learn
) -> None:
    data = tiny_data()
    trainings = [a_training(folder, "focal", gamma=gamma) for gamma in (0.5, 3.0)]
    numbered = [
        one.model_copy(update={"train": one.train.model_copy(update={"stream": index})})
        for index, one in enumerate(trainings)
    ]
    assert split(numbered[0], data, "cpu")[0] == split(numbered[1], data, "cpu")[0]

    together = learn(data, numbered, lanes=2)

    assert together[0] != together[1]
    assert together[1] == learn(data, numbered[1:])[1]


def test_only_a_loss_of_the_users_own_changes_the_label_of_a_program(folder: Path) -> None:
    data = tiny_data()
    own = a_training(folder, "plain")
    ours = Training.model_validate(own.model_dump(exclude={"loss"}))
    labels = {split(each, data, "cpu")[0].label for each in (own, ours)}
    written = Training.model_validate({**own.model_dump(exclude={"loss"}), "loss": None})

    assert len(labels) == 2
    assert split(written, data, "cpu")[0].label in labels


def test_the_reported_loss_is_the_users_own_and_other_metrics_stay_the_tasks(folder: Path) -> None:
    outputs, _ = a_batch()
    data = tiny_data()
    part = a_split(np.random.default_rng(1), 20, (5,))
    batch = {**part.arrays, "weight": np.ones(20, np.float32)}
    own = a_loss(folder, "focal", gamma=2.0)

    found = metrics(data, part, np.asarray(metric_sums(data.task, outputs, batch, own)), own)

    ours = metrics(data, part, np.asarray(metric_sums(data.task, outputs, batch)))
    assert found["accuracy"] == ours["accuracy"]
    assert found["loss"] == pytest.approx(float(own_rows(own, outputs, batch).mean()), rel=1e-6)
    assert found["loss"] < ours["loss"]


def test_padding_rows_add_nothing_to_a_loss_that_has_no_value_for_them(folder: Path) -> None:
    outputs = np.ones((3, 1), np.float32)
    batch = {"y": np.array([1, np.e, 0], np.float32), "weight": np.array([1, 1, 0], np.float32)}

    sums = metric_sums("regression", outputs, batch, a_loss(folder, "logs"))

    assert sums[-1] == pytest.approx(1.0)


def test_a_loss_that_gives_no_value_for_each_row_is_refused_with_both_shapes(folder: Path) -> None:
    program, _ = split(a_training(folder, "mean"), tiny_data(), "cpu")

    with pytest.raises(HpoError, match=r"losses.py:mean gives an array of shape \[\] for 7 rows"):
        look_at_loss(program)


def test_an_error_of_a_loss_is_told_by_the_users_line(folder: Path) -> None:
    program, _ = split(a_training(folder, "branches"), tiny_data(), "cpu")

    with pytest.raises(CodeError, match=r"in branches: return outputs\.nothing"):
        look_at_loss(program)
