"""A loss of a user's own against ours and those of Optax, and augmentation by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest
from scipy.special import softmax

from hpo.engine.program import split
from hpo.engine.training.batches import host_data
from hpo.engine.training.own_functions import (
    look_at_functions,
    own_rows,
    static_numbers_of_functions,
)
from hpo.engine.training.random_streams import batches
from hpo.engine.training.targets.sums import batch_loss, metric_sums, metrics
from hpo.engine.training.task import task_of
from hpo.engine.training.weights import parted
from hpo.errors import HpoError
from hpo.spec.code.frames import CodeError
from hpo.spec.code.own_functions import OwnLoss
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
AUGMENT = """
import jax

def jitter(x, key, strength=0.1):
    return x + strength * jax.random.normal(key, x.shape)

def shifted(x, key):
    return x[:, 1:]

def chosen(x, key, strength=0.1):
    return x * 2 if strength > 0.5 else x
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "losses.py").write_text(SOURCE)
    (tmp_path / "augment.py").write_text(AUGMENT)
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
    ours = jax.value_and_grad(lambda x: batch_loss("classification", x, batch, None))(outputs)

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

    ours = metrics(data, part, np.asarray(metric_sums(data.task, outputs, batch, None)), None)
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
        look_at_functions(program)


def test_an_error_of_a_loss_is_told_by_the_users_line(folder: Path) -> None:
    program, _ = split(a_training(folder, "branches"), tiny_data(), "cpu")

    with pytest.raises(CodeError, match=r"in branches: return outputs\.nothing"):
        look_at_functions(program)


def an_augmented(folder: Path, function: str = "jitter", **parts: Any) -> Training:
    keys = parts.pop("keys", {})
    document = {
        **SMALL,
        "data": {"dataset": "iris", "batch_size": 16},
        "augment": {"python": f"augment.py:{function}", **keys},
        "train": {"epochs": 2, **parts.pop("train", {})},
    }
    return load_document({**document, **parts}, folder).training


def test_augmented_steps_are_those_of_a_loop_by_hand(folder: Path) -> None:
    data, seed, stream, strength, rate = tiny_data(), 3, 7, 0.5, 0.2
    training = an_augmented(
        folder,
        keys={"strength": strength},
        model={"name": "mlp", "widths": [], "init": "zeros"},
        optimizer={"name": "sgd", "learning_rate": rate, "momentum": 0.0},
        train={"seed": seed, "stream": stream},
    )
    program, knobs = split(training, data, "cpu")
    task = task_of(program)

    lane = jax.jit(task.train)(
        knobs, task.initial(training), host_data(data, is_whole=False), task.feed(training, 0), 3
    )

    x, y = data.train.x, data.train.y
    kernel, bias = np.zeros((5, 3), np.float32), np.zeros(3, np.float32)
    for step, rows in enumerate(batches(seed, 0, len(x), 16)[:3]):
        key = jax.random.fold_in(jax.random.wrap_key_data(np.uint32([seed, stream])), step)
        moved = x[rows] + strength * np.asarray(jax.random.normal(key, (16, 5)))
        slope = (softmax(moved @ kernel + bias, axis=1) - np.eye(3)[y[rows]]) / 16
        kernel, bias = kernel - rate * moved.T @ slope, bias - rate * slope.sum(0)
    head = parted(program, lane.params)["head"]
    np.testing.assert_allclose(head["kernel"], kernel, atol=1e-6)
    np.testing.assert_allclose(head["bias"], bias, atol=1e-6)


def test_a_function_that_changes_nothing_leaves_the_numbers_beside_it_as_they_are(
    folder: Path, learn: Learn
) -> None:
    data, numbers = tiny_data(), {"gaussian_noise": 0.5}
    beside = an_augmented(folder, keys={"strength": 0.0, **numbers})
    alone = Training.model_validate(beside.model_dump() | {"augment": numbers})

    ours, theirs = (learn(data, [each])[0][-1]["train_loss"] for each in (beside, alone))
    assert ours == pytest.approx(theirs, rel=1e-6)
    without = learn(data, [an_augmented(folder, keys={"strength": 0.0})])[0][-1]["train_loss"]
    assert without != pytest.approx(ours, rel=1e-2)


def test_augmented_steps_go_on_to_the_bit_after_a_pause_and_leave_evaluation_alone(
    folder: Path,
) -> None:
    data, training = tiny_data(), an_augmented(folder)
    program, knobs = split(training, data, "cpu")
    task = task_of(program)
    started, arrays, feed = (
        task.initial(training),
        host_data(data, is_whole=False),
        task.feed(training, 0),
    )
    train = jax.jit(task.train)

    whole = train(knobs, started, arrays, feed, 5)
    paused = jax.tree.map(np.asarray, train(knobs, started, arrays, feed, 2))
    resumed = train(knobs, paused, arrays, feed, 3)

    jax.tree.map(np.testing.assert_array_equal, whole, resumed)
    plain = split(Training.model_validate(training.model_dump(exclude={"augment"})), data, "cpu")
    ours, theirs = (
        jax.jit(task_of(each).evaluate)(numbers, whole, arrays.validation).sums
        for each, numbers in ((program, knobs), plain)
    )
    np.testing.assert_array_equal(ours, theirs)


def test_the_numbers_of_an_augmentation_share_a_program_and_each_lane_trains_as_alone(
    folder: Path, learn: Learn
) -> None:
    data = tiny_data()
    trainings = [
        an_augmented(folder, keys={"strength": strength}, train={"stream": stream})
        for stream, strength in enumerate((0.5, 3.0, 3.0))
    ]
    assert len({split(training, data, "cpu")[0] for training in trainings}) == 1

    together = learn(data, trainings, lanes=3)

    assert len({curve[-1]["train_loss"] for curve in together.values()}) == 3
    for stream, training in enumerate(trainings):
        assert together[stream] == learn(data, [training])[stream]


def test_a_program_with_an_augmentation_serves_one_batch_size_and_none_changes_no_label(
    folder: Path,
) -> None:
    data, train = tiny_data(), {"merged": {"batch_size": [8, 16]}}
    assert split(an_augmented(folder, train=train), data, "cpu")[0].merged == ()

    plain = Training.model_validate(an_augmented(folder).model_dump(exclude={"augment"}))
    off = Training.model_validate({**plain.model_dump(), "augment": {}})
    labels = [split(each, data, "cpu")[0].label for each in (plain, off, an_augmented(folder))]
    assert labels[0] == labels[1] != labels[2]


def test_an_augmentation_that_changes_the_shape_is_refused_with_both(folder: Path) -> None:
    program = split(an_augmented(folder, "shifted"), tiny_data(), "cpu")[0]

    with pytest.raises(HpoError, match=r"\[7, 5\] and type float32 into \[7, 4\] and float32"):
        look_at_functions(program)


def test_a_number_that_an_augmentation_branches_on_is_static(folder: Path) -> None:
    training = an_augmented(folder, "chosen")
    program = split(training, tiny_data(), "cpu")[0]

    found = static_numbers_of_functions(program, training)

    assert [*found] == ["augment.strength"]
    assert "augment.py:11" in found["augment.strength"]
