"""The loop that users of PyTorch write: Optuna proposes, eager PyTorch trains on the CPU."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import optuna
import torch
from jobs import Data, run_loop
from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}


def make_mlp(inputs: int, classes: int, hparams: dict[str, Any]) -> nn.Module:
    sizes = [inputs, *hparams["widths"]]
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [
            nn.Linear(a, b),
            ACTIVATIONS[hparams["activation"]](),
            nn.Dropout(hparams["dropout"]),
        ]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], classes))


def make_cnn(shape: tuple[int, ...], classes: int, hparams: dict[str, Any]) -> nn.Module:
    channels, height, width = shape
    first, second = hparams["filters"]
    return nn.Sequential(
        nn.Conv2d(channels, first, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear((height // 4) * (width // 4) * second, hparams["dense"]),
        nn.ReLU(),
        nn.Dropout(hparams["dropout"]),
        nn.Linear(hparams["dense"], classes),
    )


def make_optimizer(model: nn.Module, hparams: dict[str, Any]) -> torch.optim.Optimizer:
    rate, decay = hparams["learning_rate"], hparams["weight_decay"]
    match hparams["optimizer"]:
        case "adamw":
            return torch.optim.AdamW(model.parameters(), rate, weight_decay=decay)
        case "sgd":
            return torch.optim.SGD(model.parameters(), rate, momentum=0.9, weight_decay=decay)
        case _:
            return torch.optim.RMSprop(model.parameters(), rate, alpha=0.9, weight_decay=decay)


def train(trial: optuna.Trial, hparams: dict[str, Any], data: Data, epochs: int) -> float:
    torch.manual_seed(trial.number)
    x, y, x_val, y_val = (torch.from_numpy(array) for array in data)
    y, y_val, classes = y.long(), y_val.long(), int(data.y.max()) + 1
    if "filters" in hparams:
        x, x_val = (part.permute(0, 3, 1, 2).contiguous() for part in (x, x_val))
        model = make_cnn(tuple(x.shape[1:]), classes, hparams)
    else:
        model = make_mlp(x.shape[1], classes, hparams)
    size = hparams["batch_size"]
    steps = len(x) // size
    optimizer = make_optimizer(model, hparams)
    schedule = None
    if hparams["cosine"]:
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    loss_of = nn.CrossEntropyLoss()

    rng = np.random.default_rng(trial.number)
    value = 0.0
    for epoch in range(epochs):
        model.train()
        order = torch.from_numpy(rng.permutation(len(x)))
        for i in range(steps):
            rows = order[i * size : (i + 1) * size]
            optimizer.zero_grad()
            loss_of(model(x[rows]), y[rows]).backward()
            optimizer.step()
            if schedule is not None:
                schedule.step()
        model.eval()
        with torch.no_grad():
            value = (model(x_val).argmax(-1) == y_val).float().mean().item()
        trial.report(value, epoch)
    return value


if __name__ == "__main__":
    run_loop(train, __doc__)
