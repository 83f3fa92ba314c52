"""The jobs of the benchmarks for the peers: the search spaces of the YAML files, for Optuna.

The data come as a file, written by `hpo`'s own reader, so that both sides train on the same splits
and scales.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna


class Data(NamedTuple):
    """The rows for training and validation: classes, or `[N, outputs]` values of a regression.

    The values have been divided by `unit`, in which errors are shown. With `folds`, the training
    rows are divided into that many, each validated in turn.
    """

    x: np.ndarray
    y: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    unit: np.ndarray
    folds: np.ndarray

    def parts(self) -> Iterator[Data]:
        """The data of each fold; these alone without folds."""
        if self.folds < 2:
            yield self
            return
        for rows in np.array_split(np.random.default_rng(0).permutation(len(self.x)), self.folds):
            others = np.setdiff1d(np.arange(len(self.x)), rows)
            x, y = self.x, self.y
            yield self._replace(x=x[others], y=y[others], x_val=x[rows], y_val=y[rows])

    @property
    def outputs(self) -> int:
        """The number of classes, or of values."""
        return self.y.shape[1] if self.is_regression else int(self.y.max()) + 1

    @property
    def vocabulary(self) -> int:
        """The number of ids of tokens, if `x` holds ids."""
        return 1 + max(int(self.x.max()), int(self.x_val.max()))

    @property
    def is_regression(self) -> bool:
        return self.y.dtype.kind == "f"


def numbers(trial: optuna.Trial, low: float, high: float) -> dict[str, float]:
    """The three numbers that vary in every job; `low` and `high` bound the learning rate."""
    return {
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "learning_rate": trial.suggest_float("learning_rate", low, high, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
    }


def fixed_mlp(trial: optuna.Trial) -> dict[str, Any]:
    """One architecture; three numbers vary."""
    return {
        "model": "mlp",
        "widths": [128, 128],
        "activation": "relu",
        "batch_size": 64,
        "optimizer": "adamw",
        "cosine": True,
        **numbers(trial, 1e-4, 1e-1),
    }


def mixed_mlp(trial: optuna.Trial) -> dict[str, Any]:
    """Width, depth, activation, batch size and optimizer vary too."""
    width = trial.suggest_categorical("width", [32, 64, 128])
    return {
        "model": "mlp",
        "widths": [width] * trial.suggest_int("depth", 1, 3),
        "activation": trial.suggest_categorical("activation", ["relu", "tanh", "gelu"]),
        "batch_size": trial.suggest_categorical("batch_size", [32, 64, 128]),
        "optimizer": trial.suggest_categorical("optimizer", ["adamw", "sgd", "rmsprop"]),
        "cosine": False,
        **numbers(trial, 1e-4, 1e-1),
    }


def fashion_cnn(trial: optuna.Trial) -> dict[str, Any]:
    """Two convolutions and a dense layer; three numbers vary."""
    return {
        "model": "cnn",
        "filters": [32, 64],
        "dense": 128,
        "activation": "relu",
        "batch_size": 128,
        "optimizer": "adamw",
        "cosine": False,
        **numbers(trial, 1e-4, 1e-2),
    }


def fashion_resnet(trial: optuna.Trial) -> dict[str, Any]:
    """Three blocks of two convolutions each; three numbers vary."""
    return {
        "model": "resnet",
        "filters": [16, 32, 64],
        "blocks": 1,
        "batch_size": 128,
        "optimizer": "adamw",
        "cosine": False,
        **numbers(trial, 1e-4, 1e-2),
    }


def series_lstm(trial: optuna.Trial) -> dict[str, Any]:
    """The next 24 hours from the last 96; three numbers vary."""
    return {
        "model": "lstm",
        "width": 64,
        "batch_size": 64,
        "optimizer": "adamw",
        "cosine": False,
        **numbers(trial, 1e-4, 1e-2),
    }


def sst2_transformer(trial: optuna.Trial) -> dict[str, Any]:
    """Two layers of attention over 32 words; three numbers vary."""
    return {
        "model": "transformer",
        "width": 64,
        "depth": 2,
        "heads": 4,
        "feed": 256,
        "batch_size": 64,
        "optimizer": "adamw",
        "cosine": False,
        **numbers(trial, 1e-4, 1e-2),
    }


def realmlp_folds(trial: optuna.Trial) -> dict[str, Any]:
    """RealMLP on each of 8 folds in turn; three numbers vary."""
    return {
        "model": "realmlp",
        "widths": [64, 64, 64],
        "batch_size": 256,
        "optimizer": "adamw",
        "cosine": False,
        **numbers(trial, 1e-3, 1e-1),
    }


JOBS: dict[str, Callable[[optuna.Trial], dict[str, Any]]] = {
    "fixed_mlp": fixed_mlp,
    "mixed_mlp": mixed_mlp,
    "fashion_cnn": fashion_cnn,
    "fashion_resnet": fashion_resnet,
    "series_lstm": series_lstm,
    "sst2_transformer": sst2_transformer,
    "realmlp_folds": realmlp_folds,
}

# Trains the hparams of a trial for a number of epochs, and validates after each.
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

    def objective(trial: optuna.Trial) -> float:
        hparams = {"vocabulary": data.vocabulary, **JOBS[arguments.job](trial)}
        values = []
        for part in data.parts():
            if hparams["model"] == "mlp":
                x, x_val = (one.reshape(len(one), -1) for one in (part.x, part.x_val))
                part = part._replace(x=x, x_val=x_val)
            values.append(train(trial, hparams, part, arguments.epochs))
        value = sum(values) / len(values)
        return value * float(data.unit) if data.is_regression else value

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="minimize" if data.is_regression else "maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=optuna.pruners.NopPruner(),
    )
    start = time.perf_counter()
    study.optimize(objective, n_trials=arguments.trials)
    seconds = time.perf_counter() - start
    print(json.dumps({"trials": arguments.trials, "seconds": seconds, "best": study.best_value}))
