# tune.py
"""Ridge regression as an objective of Optuna."""

import random

import optuna


def objective(trial):
    rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
    kind = trial.suggest_categorical("kind", ["plain", "momentum"])
    momentum = trial.suggest_float("momentum", 0.0, 0.9) if kind == "momentum" else 0.0
    draw = random.Random(0)
    rows = [(x, 3 * x + draw.gauss(0, 0.1)) for x in (draw.uniform(-1, 1) for _ in range(50))]
    weight = speed = 0.0
    for epoch in range(9):
        for x, y in rows[:40]:
            speed = momentum * speed - rate * (weight * x - y) * x
            weight += speed
        loss = sum((weight * x - y) ** 2 for x, y in rows[40:]) / 10
        trial.report(loss, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return loss
