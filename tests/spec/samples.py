"""Specs as text and as plain values, and what they load to."""

from pathlib import Path

import numpy as np

from hpo.spec.experiment import Experiment
from hpo.spec.load import (
    experiment_from_document,
    load_experiment,
)

SPEC = """
name: digits
data: {dataset: digits}
model: {name: mlp, dropout: 0.1}
optimizer: {name: sgd, momentum: 0.8, schedule: {name: cosine}}
train: {epochs: 9}
"""
SEARCH = "search: {objective: {maximize: accuracy}, trials: 10}\n"


def loaded(folder: Path, text: str, *overrides: str):
    path = folder / "spec.yaml"
    path.write_text(SPEC + text)
    return load_experiment(path, overrides)


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


def draws(space, count=60):
    rng = np.random.default_rng(0)
    return [space.draw(rng) for _ in range(count)]
