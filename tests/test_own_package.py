"""A package of a user's own adds a model, an optimizer, a metric and a reader by one call each."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hpo.study.log.events import Propose, Report
from hpo.study.storage.tables import Storage
from tests.checkout import ROOT

pytestmark = pytest.mark.long

FILES = {
    "start.py": """
import sys
from hpo import registry
registry.add("model", "gated", "own.specs:Gated", "own.gated:Gated")
registry.add("optimizer", "sign", "own.specs:Sign", "own.sign:sign")
registry.add("optimizer", "ahead", "own.specs:Ahead", "own.ahead:ahead", needs=("gradient",))
registry.add("reader", "points", "own.specs:Points", "own.points:read_points")
registry.add(
    "metric", "brier", function="own.brier:brier", tasks=("classification",), direction="minimize"
)
import hpo.cli
try:
    hpo.cli.main()
finally:
    print("JAX is imported:", "jax" in sys.modules)
""",
    "own/__init__.py": "",
    "own/specs.py": """
from typing import ClassVar, Literal
from hpo.spec.marks import Count, Knob, Positive, Share, Spec, Static
from hpo.spec.sections.optimizer import Constant, ScheduleSpec

class Gated(Spec):
    name: Literal["gated"]
    units: Static[Count] = 8
    gain: Knob[Positive] = 1.0
    dropout: Knob[Share] = 0.0

class Sign(Spec):
    name: Literal["sign"]
    learning_rate: Knob[Positive] = 0.01
    schedule: ScheduleSpec = Constant(name="constant")

class Ahead(Spec):
    name: Literal["ahead"]
    learning_rate: Knob[Positive] = 0.01
    schedule: ScheduleSpec = Constant(name="constant")

class Points(Spec):
    task: ClassVar[str] = "classification"
    points: str
""",
    "own/gated.py": """
import math
import jax
from flax import nnx

class Gated(nnx.Module):
    def __init__(self, spec, shapes, rngs):
        inputs = math.prod(shapes.example)
        self.values = nnx.Linear(inputs, spec.units, rngs=rngs)
        constant = nnx.initializers.constant(0.25)
        self.gates = nnx.Linear(inputs, spec.units, kernel_init=constant, rngs=rngs)
        self.w = nnx.Param(jax.random.uniform(rngs.params(), (spec.units,)) + 2.0)
        self.head = nnx.Linear(spec.units, shapes.outputs, rngs=rngs)

    def __call__(self, x, spec, *, train, dropout):
        hidden = self.values(x) * jax.nn.sigmoid(spec.gain * self.gates(x))
        return self.head(dropout(self.w * hidden, layer=0))
""",
    "own/sign.py": """
import optax

def sign(spec):
    return [optax.scale_by_sign()]
""",
    "own/ahead.py": """
import optax

def ahead(spec):
    def update(gradients, state, params, *, gradient, rate, **_):
        loss, further = gradient(params - rate * gradients)
        return further, state
    return [optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)]
""",
    "own/points.py": """
import numpy as np
from hpo.data.source import Source

def read_points(path, spec):
    rows = np.array([line.split() for line in path.read_text().splitlines()], np.float64)
    y = rows[:, -1].astype(np.int32)
    return Source(x=rows[:, :-1], y=y, target=str(path), classes=("0", "1"))
""",
    "own/brier.py": """
import numpy as np

def brier(answers, y, weights):
    return float(np.average((answers[:, 1] - y) ** 2, weights=weights))
""",
    "spec.yaml": """
name: own
data: {dataset: {points: points.txt}, batch_size: 16, validation: 40, test: 0}
model: {name: gated}
optimizer: {name: sign}
updates: {clip_norm: 1.0}
train: {epochs: 2}
space:
  model.units: {choice: [4, 8]}
  model.gain: {float: [0.5, 2.0]}
  optimizer.name: {choice: [sign, ahead]}
  optimizer.learning_rate: {float: [0.001, 0.1], log: true}
search:
  objective: {minimize: brier}
  baselines: false
  sampler: {name: random}
  scheduler: {name: none}
  trials: 3
""",
}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with the package, its data and a spec that names all of it."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.lstrip())
    draw = random.Random(0)
    points = [(draw.gauss(0, 1), draw.gauss(0, 1)) for _ in range(120)]
    lines = [f"{x} {y} {int(x * y > 0)}" for x, y in points]
    (tmp_path / "points.txt").write_text("\n".join(lines))
    return tmp_path


def run(folder: Path, *words: str) -> tuple[list[str], str]:
    """What `hpo` prints as lines, the last of which says whether JAX is imported, and its notes."""
    done = subprocess.run(
        [sys.executable, "start.py", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines(), done.stderr


def test_a_package_adds_a_model_an_optimizer_a_metric_and_a_reader(own: Path) -> None:
    checked, _ = run(own, "check", "spec.yaml")
    assert checked[0].startswith("own is valid.")
    assert checked[-1] == "JAX is imported: False"

    searched, _ = run(own, "search", "spec.yaml")
    assert searched[-1] == "JAX is imported: True"
    first = _trials(own)
    _, notes = run(own, "search", "spec.yaml", "--set", "search.trials=5")
    resumed = _trials(own)

    assert len(first) == 3
    assert {values["optimizer.name"] for values, _ in resumed} == {"sign", "ahead"}
    assert resumed[:3] == first
    assert len(resumed) == 5
    # A model that answers one half everywhere has a Brier score of 0.25.
    assert all(0 < metrics["brier"] < 0.5 for _, metrics in resumed)
    assert "Resuming: 3 of 5 trials started." in notes


def test_a_rule_that_needs_the_gradient_function_refuses_to_accumulate_batches(own: Path) -> None:
    done = subprocess.run(
        [sys.executable, "start.py", "check", "spec.yaml", "--set", "updates.accumulate=2"],
        cwd=own,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line == (
        "--set updates.accumulate=2: averages the gradients of several batches, and ahead gets the "
        "gradient as a function of the weights, for one batch: use another optimizer, or remove "
        "updates.accumulate"
    )
    assert done.stdout == "JAX is imported: False\n"


def _trials(folder: Path) -> list[tuple[Mapping[str, Any], Mapping[str, float]]]:
    """The values of each trial and the metrics of its last epoch, as the database holds them."""
    with Storage.read(f"sqlite:///{folder / 'hpo.db'}") as storage:
        events = storage.events(storage.study("own").id)
    values = {e.trial: e.what.hparams for e in events if isinstance(e.what, Propose)}
    metrics = {e.trial: e.what.metrics for e in events if isinstance(e.what, Report)}
    return [(values[number], metrics[number]) for number in sorted(metrics)]


def test_a_name_that_nobody_has_added_is_refused_with_those_that_there_are(own: Path) -> None:
    (own / "start.py").write_text("import hpo.cli\nhpo.cli.main()\n")
    done = subprocess.run(
        [sys.executable, "start.py", "check", "spec.yaml"],
        cwd=own,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "model.name: unknown name 'gated'." in done.stderr
    assert "optimizer.name: unknown name 'sign'." in done.stderr
    assert "data.dataset: unknown kind 'points'. Write {csv: ..., target: ...} for a table" in (
        done.stderr
    )
    assert "unknown metric 'brier'." in done.stderr


FIRST_WEIGHTS = """
import json, sys
from hpo import registry
registry.add("model", "gated", "own.specs:Gated", "own.gated:Gated")
from hpo.engine.program import split
from hpo.engine.training.supervised import initial_lane
from hpo.engine.training.weights import parted
from tests.engine.samples import a_training, tiny_data
found = []
for stream in (0, 1, 0):
    training = a_training(stream, model={"name": "gated", "units": 4})
    program, _ = split(training, tiny_data(), "cpu")
    params = parted(program, initial_lane(program, training).params)
    found.append([params["gates"]["kernel"].tolist(), params["w"].tolist()])
print(json.dumps(found))
"""


def test_a_model_of_ones_own_keeps_its_authors_initialisers_for_each_trial(own: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_WEIGHTS],
        cwd=own,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second, again = json.loads(done.stdout)
    for gates, w in (first, second):
        assert gates == [[0.25] * 4] * 5
        assert all(2 < value < 3 for value in w)
    assert first == again
    assert first[1] != second[1], "each trial draws weights of its own"
