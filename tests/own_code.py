"""Files with code of a user's own, and experiments that name it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

from hpo.spec.experiment import Experiment
from hpo.spec.load import load_document

# A module as its author writes it: batch norm, dropout in a list, a gain of its initialiser.
NET = """
    from flax import nnx

    class Net(nnx.Module):
        def __init__(
            self, inputs, outputs, width: int = 8, rate=0.1, gain: float = 1.0, scale=1.0, *, rngs
        ):
            init = nnx.initializers.variance_scaling(gain, "fan_in", "normal")
            self.hidden = nnx.Linear(inputs, width, kernel_init=init, rngs=rngs)
            self.norm = nnx.BatchNorm(width, rngs=rngs)
            self.drops = nnx.List([nnx.Dropout(rate, rngs=rngs)])
            self.head = nnx.Linear(width, outputs, rngs=rngs)
            self.scale = scale

        def __call__(self, x):
            x = nnx.relu(self.norm(self.hidden(x)))
            for drop in self.drops:
                x = drop(x)
            return self.head(x) * self.scale
    """


def write_net(folder: Path, source: str = NET) -> Path:
    """A file `nets.py` with this source."""
    path = folder / "nets.py"
    path.write_text(dedent(source))
    return path


def own_experiment(
    folder: Path,
    model: dict[str, Any] | None = None,
    space: dict[str, Any] | None = None,
    **parts: Any,
) -> Experiment:
    """An experiment on the flowers of iris with the `Net` of `nets.py` in a folder."""
    document: dict[str, Any] = {
        "name": "own",
        "data": {"dataset": "iris", "batch_size": 16},
        "model": {"python": "nets.py:Net", **(model or {})},
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "train": {"epochs": 2},
    }
    if space is not None:
        document["space"] = space
        document["search"] = {
            "objective": {"maximize": "accuracy"},
            "baselines": False,
            "sampler": {"name": "random"},
            "scheduler": {"name": "none"},
            "trials": 4,
        }
    return load_document({**document, **parts}, folder)
