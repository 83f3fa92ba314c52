"""Random specs: each is refused in sentences before its first trial, or all of its trials plan."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from hpo.data.cache import DataCache
from hpo.engine.program import split
from hpo.engine.techniques import check_techniques
from hpo.engine.training.task import task_of
from hpo.errors import HpoError, SpecError
from hpo.registry import OPTIMIZERS, SCHEDULES
from hpo.spec.experiment import Experiment, Training
from hpo.spec.fill import fill, with_rows
from hpo.spec.load import load_document
from hpo.spec.marks import mark_of
from hpo.spec.registered import needs_of
from hpo.spec.schema import leaves_at
from hpo.study.backends.datasets import DataSets
from hpo.study.backends.lanes import LaneBackend
from hpo.study.surroundings import Surroundings
from hpo.techniques import TECHNIQUES
from tests.techniques import merged, written

# Data, and a model that takes them.
PARTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("iris", {"name": "mlp", "widths": [4]}),
    ("breast_cancer", {"name": "mlp", "widths": [4], "norm": "batch"}),
    ("diabetes", {"name": "realmlp", "widths": [4]}),
    ("digits", {"name": "mlp", "widths": [4], "norm": "layer"}),
    ("digits", {"name": "cnn", "filters": [3], "dense": 4}),
)
# Leaves beside those of the table whose values decide what goes together.
CHOICES: dict[str, list[Any]] = {
    "optimizer.name": [*OPTIMIZERS],
    "optimizer.schedule.name": [*SCHEDULES],
    "model.norm": ["none", "layer", "batch"],
    "sampling.name": ["uniform", "balanced", "stratified", "importance", "curriculum"],
    "train.average.name": ["none", "ema", "polyak", "swa"],
    "train.precision": ["float32", "bfloat16", "float16"],
    "data.batch_size": [8, 16, 32],
}
SENTENCE = re.compile(r"[^\n]+: [^\n]+")


def _entry(rng: Random) -> tuple[str, dict[str, Any]]:
    """A leaf with a range or a choice of some of its values."""
    if rng.random() < 0.3:
        path = rng.choice([*CHOICES])
        return path, {"choice": rng.sample(CHOICES[path], min(3, len(CHOICES[path])))}
    name = rng.choice([name for name, line in TECHNIQUES.items() if not line.value])
    path, value = TECHNIQUES[name].place, written(name)
    for part in path.split("."):
        value = value[part]
    (leaf,) = leaves_at(Training, path)[:1]
    off = leaf.owner.model_fields[leaf.field].default
    if mark_of(leaf.owner, leaf.field) is None or not isinstance(value, bool | str | int | float):
        return "optimizer.learning_rate", {"float": [0.001, 0.1]}
    if isinstance(value, bool | str) or rng.random() < 0.5:
        return path, {"choice": rng.sample([off, value], 2)}
    kind = "int" if isinstance(value, int) else "float"
    return path, {kind: [1 if kind == "int" else value / 2, value]}


def _document(rng: Random) -> dict[str, Any]:
    dataset, model = rng.choice(PARTS)
    scheduler = rng.choice(["none", "asha", "asha", "pbt"])
    optimizer = rng.choice([*OPTIMIZERS])
    takes_all = "all rows" in OPTIMIZERS[optimizer].needs
    document: dict[str, Any] = {
        "name": "random",
        "data": {"dataset": dataset, "batch_size": "all" if takes_all else 16},
        "model": model,
        "optimizer": {"name": optimizer, "learning_rate": 0.01},
        "train": {"epochs": 4},
        "space": dict(_entry(rng) for _ in range(rng.randint(1, 4))),
        "search": {
            "objective": {"minimize": "loss"},
            "trials": 4,
            "sampler": {"name": "random"},
            "scheduler": {"name": scheduler},
        },
    }
    if rng.random() < 0.15 and scheduler != "pbt":
        document["data"]["folds"] = 3
    if rng.random() < 0.2:
        document["data"]["device_budget"] = rng.choice([16000, 60000, 200000])
    if scheduler == "pbt":
        document["space"]["optimizer.learning_rate"] = {"float": [0.001, 0.1]}
    for name in rng.sample([*TECHNIQUES], rng.randint(0, 3)):
        document = merged(document, written(name))
    return document


@pytest.mark.long
@pytest.mark.parametrize("part", range(4))
def test_a_random_spec_is_refused_before_its_first_trial_or_all_of_its_trials_plan(
    tmp_path: Path, part: int
) -> None:
    ends = Counter[str]()
    datasets = DataSets(tmp_path, None, DataCache(tmp_path))
    around = Surroundings("sqlite://", None, None, device="cpu", data_cache=tmp_path)
    said: list[str] = []
    for seed in range(part * 500, part * 500 + 500):
        document = _document(Random(seed))
        try:
            experiment = load_document(document, tmp_path)
        except SpecError as error:
            ends["refused by check"] += 1
            said += str(error).splitlines()
            continue
        try:
            LaneBackend(experiment, around, lambda _: None)
        except HpoError as error:
            ends["refused by the data"] += 1
            said.append(str(error))
            continue
        ends["planned"] += 1
        _plan(experiment, datasets, seed)
    assert [text for text in said if SENTENCE.fullmatch(text) is None] == []
    assert len(ends) == 3
    assert min(ends.values()) > 12, ends


def _plan(experiment: Experiment, datasets: DataSets, seed: int) -> None:
    """The programs of a few trials."""
    rng = np.random.default_rng(seed)
    for number in range(3):
        training = fill(experiment.training, experiment.space.draw(rng), number)
        data = datasets.load(training.data)
        program, _ = split(with_rows(training, data.train_rows), data, "cpu")
        check_techniques(program)
        if "all rows" in needs_of("optimizer", training.optimizer):
            task_of(program).shapes()
