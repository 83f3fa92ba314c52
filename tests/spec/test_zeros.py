"""Zeros that a program keeps: which those of a study are, and what a spec may say."""

from pathlib import Path

import pytest

from hpo.errors import SpecError
from hpo.spec.experiment import Training
from hpo.spec.load import experiment_from_document
from hpo.spec.zeros import varying_zeros

SPEC = {
    "name": "digits",
    "data": {"dataset": "digits"},
    "model": {"name": "mlp", "dropout": 0.0},
    "optimizer": {"name": "adamw", "weight_decay": 0.0, "clip_norm": None},
    "train": {"epochs": 9},
}
SEARCH = {
    "space": {"optimizer.learning_rate": {"float": [0.01, 0.1]}},
    "search": {"objective": {"maximize": "accuracy"}, "trials": 10},
}


def a_training(**train):
    parts = {name: SPEC[name] for name in ("data", "model", "optimizer")}
    return Training.model_validate({**parts, "train": {"epochs": 9, **train}})


def test_only_zeros_that_vary_are_kept():
    varying = {"model.dropout", "optimizer.learning_rate", "optimizer.clip_norm", "model.widths"}
    assert varying_zeros(a_training(), varying) == ("model.dropout",)


def test_so_are_those_of_other_parts_that_the_program_serves():
    merged = {"optimizer": [{"name": "adamw"}, {"name": "sgd", "momentum": 0.0}]}
    training = a_training(merged=merged)
    found = varying_zeros(training, {"optimizer.momentum", "optimizer.weight_decay"})
    assert set(found) == {"optimizer.momentum", "optimizer.weight_decay"}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (SPEC, "train.varying: unknown leaf 'model.dropuot'. Did you mean 'model.dropout'?"),
        (SPEC | SEARCH, "train.varying: is for hpo train: remove it, or remove search"),
    ],
)
def test_what_cannot_be_kept_is_refused(document, said):
    train = {"epochs": 9, "varying": ["model.dropuot"]}
    with pytest.raises(SpecError) as error:
        experiment_from_document({**document, "train": train}, Path())
    assert said in str(error.value)
