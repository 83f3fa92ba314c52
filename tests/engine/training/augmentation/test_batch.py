"""Augmentation in training: lanes, merged batch sizes, numbers of 0, and what is refused."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.models.dropout import mask_key
from hpo.engine.program import split
from hpo.engine.training.augmentation.batch import changed
from hpo.engine.training.augmentation.draws import Draws
from hpo.spec.experiment import Training
from hpo.spec.marks import with_leaves
from hpo.spec.sections.techniques.augment import Augment
from tests.engine.samples import Learn, tiny_data
from tests.techniques import document, small_data

IMAGES = {
    "brightness": 0.4,
    "contrast": 0.3,
    "shot_noise": 0.02,
    "salt_pepper": 0.1,
    "crop": 0.2,
    "rand_augment": 2,
    "rand_strength": 0.5,
    "trivial_augment": 0.5,
    "mixup": 0.4,
    "cutmix": 1.0,
}
TABLE = {
    "gaussian_noise": 0.3,
    "column_dropout": 0.2,
    "swap_noise": 0.1,
    "same_class": 0.5,
    "mixup": 0.4,
}


def a_training(augment: dict[str, Any], **train: Any) -> Training:
    document = {
        "data": {"dataset": "iris", "batch_size": 16},
        "model": {"name": "mlp", "widths": [4]},
        "augment": augment,
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "train": {"epochs": 2, **train},
    }
    return Training.model_validate(document)


@pytest.mark.long
def test_lanes_with_other_numbers_share_a_program_and_each_trains_as_alone(learn: Learn) -> None:
    data, varying = tiny_data(), [f"augment.{name}" for name in TABLE]
    trainings = [
        a_training(augment, stream=stream, varying=varying)
        for stream, augment in enumerate((TABLE, {}, {"gaussian_noise": 1.0}))
    ]
    assert len({split(training, data, "cpu")[0] for training in trainings}) == 1

    together = learn(data, trainings, lanes=3)

    for stream, training in enumerate(trainings):
        assert together[stream] == learn(data, [training])[stream]
    off = a_training({}, stream=1)
    assert together[1] == learn(data, [off])[1]
    assert together[0][-1]["train_loss"] != learn(data, [a_training({})])[0][-1]["train_loss"]


def test_a_training_without_augmentation_has_the_program_of_today() -> None:
    data = tiny_data()
    bare = Training.model_validate(a_training({}).model_dump(exclude={"augment"}))
    labels = [
        split(each, data, "cpu")[0].label for each in (bare, a_training({}), a_training(TABLE))
    ]
    assert labels[0] == labels[1] != labels[2]


def test_programs_that_mix_rows_serve_one_batch_size() -> None:
    data, merged = tiny_data(), {"batch_size": [8, 16]}
    assert split(a_training({"gaussian_noise": 0.3}, merged=merged), data, "cpu")[0].merged
    for name in ("swap_noise", "same_class", "mixup"):
        assert not split(a_training({name: 0.3}, merged=merged), data, "cpu")[0].merged


def test_a_batch_in_parts_trains_as_in_one_piece(learn: Learn) -> None:
    data, augment = tiny_data(), {"gaussian_noise": 0.3, "column_dropout": 0.2}
    parts = learn(data, [a_training(augment, merged={"batch_size": [8, 16]})])[0]
    whole = learn(data, [a_training(augment)])[0]
    np.testing.assert_allclose(
        [epoch["train_loss"] for epoch in parts],
        [epoch["train_loss"] for epoch in whole],
        rtol=1e-5,
    )


@pytest.mark.long
def test_masks_and_weights_of_pixels_move_with_their_image() -> None:
    draws = Draws(mask_key(jnp.array([3, 4], jnp.uint32), jnp.int32(0)), 3)
    y = np.random.default_rng(0).integers(0, 9, (3, 5, 5)).astype(np.int32)
    batch = {"x": y[..., None].astype(np.float32), "y": y, "weight": y.astype(np.float32)}

    found = changed(Augment(flip=0.5, shift=0.0), batch, draws, codes=0, feed={})

    np.testing.assert_array_equal(found["x"][..., 0], found["y"])
    np.testing.assert_array_equal(found["weight"], found["y"])
    assert not np.array_equal(found["y"], y)


def test_images_learn_the_same_from_streamed_data_and_a_lane_of_zeros_as_without(
    learn: Learn, images: DataSet
) -> None:
    varying = [f"augment.{name}" for name in IMAGES]
    zeros = {"rand_strength": 0.5}
    whole = [a_training(each, stream=i, varying=varying) for i, each in enumerate((IMAGES, zeros))]
    parts = [with_leaves(each, {"data.device_budget": 30_000}) for each in whole]

    found = learn(images, whole, lanes=2)

    assert learn(images, parts, lanes=2) == found
    assert found[1] == learn(images, [a_training({}, stream=1)])[1]
    assert found[0][-1]["loss"] != learn(images, [a_training({})])[0][-1]["loss"]


def test_synonyms_change_streamed_texts_and_parts_of_batches_alike_and_a_lane_of_zeros_not_at_all(
    learn: Learn, tmp_path: Path
) -> None:
    data = small_data(tmp_path)["texts"]

    def training(share: float, **train: Any) -> Training:
        parts = {"model": {"name": "rnn", "width": 4}, "augment": {"synonyms": share}}
        parts |= {"train": {"epochs": 2, **train}}
        return Training.model_validate({**document(["synonyms"]), **parts})

    varying = ["augment.synonyms"]
    whole = [training(share, stream=i, varying=varying) for i, share in enumerate((0.5, 0.0))]
    streamed = [with_leaves(each, {"data.device_budget": 2000}) for each in whole]

    found = learn(data, whole)

    assert learn(data, streamed) == found
    off = learn(data, [training(0.0, stream=stream) for stream in (0, 1)])
    assert found[1] == off[1]
    assert found[0][-1]["train_loss"] != off[0][-1]["train_loss"]
    parts = learn(data, [training(0.5, varying=varying, merged={"batch_size": [8, 16]})])[0]
    assert parts[-1]["train_loss"] == pytest.approx(found[0][-1]["train_loss"], rel=1e-5)


def test_off_adds_nothing_to_the_batch() -> None:
    draws = Draws(mask_key(jnp.array([3, 4], jnp.uint32), jnp.int32(0)), 3)
    jaxpr = jax.make_jaxpr(lambda x: changed(Augment(), {"x": x}, draws, 0, {}))(np.ones((3, 2)))
    assert jaxpr.eqns == []
