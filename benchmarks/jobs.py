"""The jobs of the benchmarks for the peers: the search spaces of the YAML files, for Optuna.

The data come as a file, written by `hpo`'s own reader, so that both sides train on the same splits
and scales.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna


class Data(NamedTuple):
    """The rows for training and validation."""

    x: np.ndarray
    y: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray


def fixed_mlp(trial: optuna.Trial) -> dict[str, Any]:
    """One architecture; three numbers vary."""
    return {
        "widths": [128, 128],
        "activation": "relu",
        "batch_size": 64,
        "optimizer": "adamw",
        "cosine": True,
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
    }


def mixed_mlp(trial: optuna.Trial) -> dict[str, Any]:
    """Width, depth, activation, batch size and optimizer vary too."""
    width = trial.suggest_categorical("width", [32, 64, 128])
    return {
        "widths": [width] * trial.suggest_int("depth", 1, 3),
        "activation": trial.suggest_categorical("activation", ["relu", "tanh", "gelu"]),
        "batch_size": trial.suggest_categorical("batch_size", [32, 64, 128]),
        "optimizer": trial.suggest_categorical("optimizer", ["adamw", "sgd", "rmsprop"]),
        "cosine": False,
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
    }


def fashion_cnn(trial: optuna.Trial) -> dict[str, Any]:
    """Two convolutions and a dense layer; three numbers vary."""
    return {
        "filters": [32, 64],
        "dense": 128,
        "activation": "relu",
        "batch_size": 128,
        "optimizer": "adamw",
        "cosine": False,
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
    }


JOBS: dict[str, Callable[[optuna.Trial], dict[str, Any]]] = {
    "fixed_mlp": fixed_mlp,
    "mixed_mlp": mixed_mlp,
    "fashion_cnn": fashion_cnn,
}

# Trains the hparams of a trial for a number of epochs, and reports after each.
Train = Callable[[optuna.Trial, dict[str, Any], Data, int], float]


def run_loop(train: Train, description: str | None) -> None:
    """The loop of a peer, by its command line; prints trials, seconds and the best as JSON."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--data", type=Path, required=True, help="the arrays, an .npz file")
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    arguments = parser.parse_args()
    with np.load(arguments.data) as arrays:
        data = Data(*(arrays[name] for name in Data._fields))
    if arguments.job != "fashion_cnn":
        x, x_val = (part.reshape(len(part), -1) for part in (data.x, data.x_val))
        data = data._replace(x=x, x_val=x_val)

    def objective(trial: optuna.Trial) -> float:
        return train(trial, JOBS[arguments.job](trial), data, arguments.epochs)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=optuna.pruners.NopPruner(),
    )
    start = time.perf_counter()
    study.optimize(objective, n_trials=arguments.trials)
    seconds = time.perf_counter() - start
    print(json.dumps({"trials": arguments.trials, "seconds": seconds, "best": study.best_value}))
