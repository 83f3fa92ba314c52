"""A trial is a filled-in spec."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.errors import SpecError
from hpo.spec.experiment import Training
from hpo.spec.fill import fill, with_rows
from tests.spec.samples import EXPERIMENT, SPACE, TRAINING


def leaf(training: Training, path: str) -> object:
    value: object = training
    for name in path.split("."):
        value = getattr(value, name)
    return list(value) if isinstance(value, tuple) else value


@given(st.integers(0, 2**32 - 1), st.integers(0, 1000))
def test_every_hparam_is_where_its_path_says(seed, number):
    hparams = EXPERIMENT.space.draw(np.random.default_rng(seed))
    training = fill(TRAINING, hparams, number)
    whole = hparams.pop("optimizer")
    assert leaf(training, "optimizer.name") == whole["name"]
    assert {path: leaf(training, path) for path in hparams} == hparams
    assert training.train.stream == number
    assert (training.data.dataset, training.train.epochs) == ("digits", 9)


def test_another_variant_keeps_the_leaves_that_it_has_and_drops_the_others():
    optimizer = fill(TRAINING, {"optimizer.name": "rmsprop"}, 0).optimizer
    assert optimizer.name == "rmsprop"
    assert (optimizer.learning_rate, optimizer.momentum) == (0.3, 0.5)
    assert optimizer.schedule.warmup == 0.1
    assert fill(TRAINING, {"optimizer.name": "adamw"}, 0).optimizer.learning_rate == 0.3


def test_leaves_that_the_spec_does_not_mention_take_the_new_variants_default():
    assert fill(TRAINING, {"optimizer.name": "adamw"}, 0).optimizer.weight_decay == 1e-4


def test_a_chosen_part_replaces_all_of_it():
    optimizer = fill(TRAINING, {"optimizer": {"name": "sgd"}}, 0).optimizer
    assert (optimizer.learning_rate, optimizer.momentum, optimizer.nesterov) == (0.1, 0.9, False)


def test_filling_leaves_the_experiment_as_it_was():
    before = TRAINING.model_dump()
    fill(TRAINING, EXPERIMENT.space.draw(np.random.default_rng(0)), 3)
    assert TRAINING.model_dump() == before
    assert EXPERIMENT.document["space"]["optimizer"] == SPACE["optimizer"]


def test_a_batch_of_all_rows_gets_their_number_and_others_stay():
    whole = fill(TRAINING, {"data.batch_size": "all"}, 3)
    assert with_rows(whole, 90).data.step_rows == 90
    assert with_rows(whole, 90) == fill(TRAINING, {"data.batch_size": 90}, 3)
    assert with_rows(TRAINING, 90) is TRAINING


@pytest.mark.parametrize(
    "path", ["data.dataset", "data", "train.epochs", "train", "name", "x.y", ""]
)
def test_an_hparam_that_no_space_can_vary_is_refused(path):
    with pytest.raises(SpecError, match=rf"trial 3: {re.escape(path)} cannot vary"):
        fill(TRAINING, {path: {"csv": "/etc/passwd", "target": "0"}}, 3)
    with pytest.raises(SpecError, match=r"trial 3: model\.mlp\.activation cannot have its value"):
        fill(TRAINING, {"model.activation": "\x1b"}, 3)
