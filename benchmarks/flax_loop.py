"""The loop that users write today: Optuna proposes, Flax trains, one model and one jit a trial.

Prints one line of JSON: trials, seconds from the first trial on, and the best accuracy.
"""

from __future__ import annotations

import argparse
import json
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optuna
from flax import nnx
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

EPOCHS, BATCH_SIZE = 10, 64


class Mlp(nnx.Module):
    def __init__(self, dropout: float, rngs: nnx.Rngs) -> None:
        self.first = nnx.Linear(64, 128, rngs=rngs)
        self.second = nnx.Linear(128, 128, rngs=rngs)
        self.head = nnx.Linear(128, 10, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.dropout(nnx.relu(self.first(x)))
        x = self.dropout(nnx.relu(self.second(x)))
        return self.head(x)


def loss_of(model: Mlp, x: jax.Array, y: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(model(x), y).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=256)
    trials = parser.parse_args().trials

    x, y = load_digits(return_X_y=True)
    x, x_val, y, y_val = train_test_split(x, y, test_size=0.2, stratify=y, random_state=0)
    scaler = StandardScaler().fit(x)
    x, x_val = (scaler.transform(part).astype(np.float32) for part in (x, x_val))
    steps = len(x) // BATCH_SIZE

    def objective(trial: optuna.Trial) -> float:
        learning_rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
        weight_decay = trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True)
        model = Mlp(trial.suggest_float("dropout", 0.0, 0.5), nnx.Rngs(trial.number))
        schedule = optax.cosine_decay_schedule(learning_rate, EPOCHS * steps)
        tx = optax.adamw(schedule, weight_decay=weight_decay)
        optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)

        @nnx.jit
        def train_step(model: Mlp, optimizer: nnx.Optimizer, x: jax.Array, y: jax.Array) -> None:
            gradients = nnx.grad(loss_of)(model, x, y)
            optimizer.update(model, gradients)

        @nnx.jit
        def accuracy(model: Mlp, x: jax.Array, y: jax.Array) -> jax.Array:
            return jnp.mean(model(x).argmax(-1) == y)

        rng = np.random.default_rng(trial.number)
        value = 0.0
        for epoch in range(EPOCHS):
            model.train()
            order = rng.permutation(len(x))
            for i in range(steps):
                rows = order[i * BATCH_SIZE : (i + 1) * BATCH_SIZE]
                train_step(model, optimizer, x[rows], y[rows])
            model.eval()
            value = float(accuracy(model, x_val, y_val))
            trial.report(value, epoch)
        return value

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=optuna.pruners.NopPruner(),
    )
    start = time.perf_counter()
    study.optimize(objective, n_trials=trials)
    seconds = time.perf_counter() - start
    print(json.dumps({"trials": trials, "seconds": seconds, "best": study.best_value}))


if __name__ == "__main__":
    main()
