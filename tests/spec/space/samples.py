"""A small space, and studies that search it."""

from pathlib import Path

from hpo.spec.load import experiment_from_document

SPEC = {
    "name": "digits",
    "data": {"dataset": "digits"},
    "model": {"name": "mlp", "dropout": 0.2},
    "optimizer": {"name": "sgd", "learning_rate": 0.05},
    "train": {"epochs": 9},
}
SPACE = {
    "model.dropout": {"float": [0.0, 0.5]},
    "model.activation": {"choice": ["relu", "gelu"]},
}


def searched(space, **search):
    search = {"objective": {"maximize": "accuracy"}, "trials": 10, **search}
    return experiment_from_document({**SPEC, "space": space, "search": search}, Path())


def values_of(found):
    return found.training.model_dump(exclude_unset=True)
