"""The loop that users of PyTorch write: Optuna proposes, eager PyTorch trains on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import torch
from jobs import Data, run_loop
from torch import nn
from torch_models import MODELS


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
    x, y, x_val, y_val = (torch.from_numpy(array) for array in data[:4])
    if y.is_floating_point():
        loss_of = nn.MSELoss()
    else:
        y, y_val, loss_of = y.long(), y_val.long(), nn.CrossEntropyLoss()
    if x.ndim == 4:
        x, x_val = (part.permute(0, 3, 1, 2).contiguous() for part in (x, x_val))
    model = MODELS[hparams["model"]](tuple(x.shape[1:]), data.outputs, hparams)
    size = hparams["batch_size"]
    steps = len(x) // size
    optimizer = make_optimizer(model, hparams)
    schedule = None
    if hparams["cosine"]:
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)

    rng = np.random.default_rng(trial.number)
    value = 0.0
    for _ in range(epochs):
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
            outputs = model(x_val)
            if y.is_floating_point():
                value = (outputs - y_val).square().mean().sqrt().item()
            else:
                value = (outputs.argmax(-1) == y_val).float().mean().item()
    return value


if __name__ == "__main__":
    run_loop(train, __doc__)
