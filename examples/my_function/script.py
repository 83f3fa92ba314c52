# script.py
"""Ridge regression by gradient descent: python script.py."""

import random

import hpo


@hpo.objective(
    minimize="loss",
    space={"rate": hpo.Float(1e-4, 1.0, log=True), "penalty": hpo.Float(0.0, 0.1)},
    epochs=9,
    workers=2,
    scheduler="asha",
)
def train(trial, rate, penalty):
    draw = random.Random(0)
    rows = [(x, 3 * x + draw.gauss(0, 0.1)) for x in (draw.uniform(-1, 1) for _ in range(50))]
    weight = 0.0
    for epoch in range(1, 10):
        for x, y in rows[:40]:
            weight -= rate * ((weight * x - y) * x + penalty * weight)
        loss = sum((weight * x - y) ** 2 for x, y in rows[40:]) / 10
        trial.report(loss, epoch)


if __name__ == "__main__":
    best = hpo.search(train, trials=6).best
    print(best.value, best.hparams)
