"""A trial is a filled-in spec."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.spec.experiment import Experiment, Training
from hpo.spec.fill import fill, with_rows
from hpo.spec.load import experiment_from_document
from hpo.spec.programs import count_programs, static_leaves

BASE = {
    "name": "digits",
    "data": {"dataset": "digits"},
    "model": {"name": "mlp", "widths": [32], "norm": "layer"},
    "optimizer": {
        "name": "sgd",
        "learning_rate": 0.3,
        "momentum": 0.5,
        "nesterov": True,
        "schedule": {"name": "cosine", "warmup": 0.1},
    },
    "train": {"epochs": 9},
}
SPACE = {
    "data.batch_size": {"choice": [16, 64]},
    "model.name": {"choice": ["mlp", "cnn"]},
    "model.widths": {"choice": [[8], [8, 8]], "when": {"model.name": "mlp"}},
    "model.kernel": {"int": [1, 5], "step": 2, "when": {"model.name": "cnn"}},
    "model.dropout": {"float": [0.0, 0.9]},
    "optimizer": {"choice": [{"name": "sgd"}, {"name": "adam", "beta1": 0.5}]},
    "optimizer.learning_rate": {"float": [1e-4, 1.0], "log": True},
    "optimizer.momentum": {"float": [0.0, 0.9], "when": {"optimizer.name": "sgd"}},
    "optimizer.clip_norm": {"choice": [None, 1.0, 5.0]},
    "optimizer.schedule.name": {"choice": ["constant", "cosine", "step"]},
    "optimizer.schedule.drops": {"int": [1, 3], "when": {"optimizer.schedule.name": "step"}},
    "train.precision": {"choice": ["float32", "bfloat16"]},
}


def experiment(space: dict) -> Experiment:
    return experiment_from_document({**BASE, "space": space}, Path())


EXPERIMENT = experiment(SPACE)
TRAINING = EXPERIMENT.training


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


@given(st.integers(0, 2**32 - 1))
def test_knobs_share_a_program_and_static_leaves_do_not(seed):
    def static(**hparams):
        return static_leaves(
            fill(TRAINING, {p.replace("__", "."): v for p, v in hparams.items()}, 0)
        )

    rate = float(np.random.default_rng(seed).uniform(0.01, 0.9))
    assert static(model__dropout=rate, optimizer__momentum=rate) == static()
    assert static(model__init="orthogonal") == static()
    assert static(optimizer__clip_norm=rate) == static(optimizer__clip_norm=2.0)
    assert static(optimizer__clip_norm=None) != static(optimizer__clip_norm=2.0)
    assert static(model__widths=[33]) != static()
    assert static(model__name="cnn") != static()
    assert static(optimizer__schedule__name="step") != static()
    assert hash(static()) == hash(static())


@pytest.mark.parametrize(
    ("space", "programs"),
    [
        ({}, 1),
        ({"model.dropout": {"float": [0.0, 0.5]}}, 1),
        ({"model.widths": {"choice": [[8], [16], [8, 8]]}}, 3),
        ({"model.widths": [64]}, 1),
        ({"optimizer.clip_norm": {"choice": [None, 1.0, 2.0]}}, 2),
        ({"data.batch_size": {"int": [1, 1000]}}, 1000),
        ({"data.batch_size": {"int": [1, 5000]}}, 5000),  # a bound: too many to look at
        ({"data.batch_size": {"int": [1, 1_000_000]}}, None),
        (
            {
                "model.name": {"choice": ["mlp", "cnn"]},
                "model.widths": {"choice": [[8], [16]], "when": {"model.name": "mlp"}},
                "model.kernel": {"int": [1, 5], "step": 2, "when": {"model.name": "cnn"}},
            },
            2 + 3,
        ),
        (
            {
                "optimizer": {"choice": [{"name": "sgd"}, {"name": "sgd", "momentum": 0.1}]},
                "optimizer.nesterov": {"choice": [True, False]},
            },
            2,
        ),
    ],
)
def test_programs_are_counted_over_what_is_static_and_can_meet(space, programs):
    assert count_programs(experiment(space)) == programs


@given(st.integers(0, 2**32 - 1))
def test_no_draw_needs_a_program_that_was_not_counted(seed):
    rng = np.random.default_rng(seed)
    seen = {static_leaves(fill(TRAINING, EXPERIMENT.space.draw(rng), 0)) for _ in range(8)}
    count = count_programs(EXPERIMENT)
    assert count is not None
    assert len(seen) <= count
    assert math.isinf(EXPERIMENT.space.size)


def test_a_batch_of_all_rows_gets_their_number_and_others_stay():
    whole = fill(TRAINING, {"data.batch_size": "all"}, 3)
    assert with_rows(whole, 90).data.step_rows == 90
    assert with_rows(whole, 90) == fill(TRAINING, {"data.batch_size": 90}, 3)
    assert with_rows(TRAINING, 90) is TRAINING
