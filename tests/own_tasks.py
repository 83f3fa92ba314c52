"""A task of a user's own for tests: gradient descent to a point, in a file beside its spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpo.spec.experiment import Experiment
from hpo.spec.load import load_document

DESCENT = """
import jax
import jax.numpy as jnp

CALLS = []


class Task:
    steps = 5
    metrics = {"loss": "minimize"}
    knobs = {"rate": 0.1, "noise": 0.0}

    def __init__(self, size: int = 3, target: float = 1.0):
        self.size, self.target = size, target

    def init(self, knobs, key):
        CALLS.append("init")
        return {"x": jax.random.normal(key, (self.size,)), "key": key, "n": 0}

    def step(self, state, knobs, key, batch):
        CALLS.append("step")
        gradient = state["x"] - self.target + knobs["noise"] * jax.random.normal(key, (self.size,))
        return {"x": state["x"] - knobs["rate"] * gradient, "key": key, "n": state["n"] + 1}

    def evaluate(self, state, knobs, key):
        CALLS.append("evaluate")
        return {"loss": jnp.square(state["x"] - self.target).mean()}
"""

DOCUMENT: dict[str, Any] = {
    "name": "descent",
    "task": {"python": "descent.py:Task"},
    "train": {"epochs": 4},
    "space": {
        "task.rate": {"float": [0.01, 1.0], "log": True},
        "task.noise": {"float": [0.0, 1.0]},
    },
    "search": {
        "sampler": {"name": "random"},
        "scheduler": {"name": "successive_halving", "eta": 2},
        "objective": {"minimize": "loss"},
        "trials": 8,
    },
}


def a_task(folder: Path, *overrides: str, code: str = DESCENT, **parts: Any) -> Experiment:
    """The experiment of a spec in `folder`, beside the code that it names.

    A part that is None is left out.
    """
    (folder / "descent.py").write_text(code)
    document = {name: part for name, part in {**DOCUMENT, **parts}.items() if part is not None}
    return load_document(document, folder, overrides)
