"""What each technique and optimizer costs: the table that `hpo list techniques` prints.

An epoch of one lane with a technique and one without are timed in turns, on three small models. An
optimizer is compared with AdamW, on the perceptron alone. The cost is the median over the turns of
the ratio of the two times, in per cent. Times are those of the processor at work, because others
may use the machine. What a technique does between epochs is in it. Those that no step sees, those
for other data, those that name layers, and those that need files are left out.

    HPO_DATA=... .venv/bin/python -m benchmarks.techniques
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from hpo.data.dataset import DataSet
from hpo.data.load import load_data
from hpo.engine.devices import local_devices
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans
from hpo.errors import HpoError
from hpo.registry import OPTIMIZERS
from hpo.spec.load import load_document
from hpo.spec.reference.techniques import COSTS
from hpo.spec.sections.data import DataSpec
from hpo.techniques import TECHNIQUES
from hpo.trial import Run

FILE = Path(__file__).resolve().parents[1] / "hpo" / COSTS
TURNS, TURN_SECONDS = 5, 0.05
ADAMW = {"name": "adamw", "learning_rate": 1.0e-3}
# Each model with its data, and the needs of techniques that these data meet.
MODELS: Mapping[str, tuple[Mapping[str, Any], set[str]]] = {
    "digits mlp": (
        {
            "data": {"dataset": "digits", "validation": 64, "test": 0, "batch_size": 64},
            "model": {"name": "mlp", "widths": [128, 128]},
        },
        {"images", "numbers"},
    ),
    "fashion cnn": (
        {
            "data": {
                "dataset": "fashion_mnist",
                "rows": 704,
                "validation": 64,
                "test": 0,
                "batch_size": 64,
            },
            "model": {"name": "cnn", "filters": [8, 16], "dense": 32},
        },
        {"images", "numbers"},
    ),
    "transformer": (
        {
            "data": {
                "dataset": {"csv": "sst2/train.tsv", "header": False, "target": "column_2"},
                "text": {"vectors": "ids", "tokens": "words", "vocabulary": 2000, "length": 32},
                "rows": 704,
                "validation": 64,
                "test": 0,
                "batch_size": 64,
            },
            "model": {"name": "transformer", "width": 32, "depth": 1, "heads": 2},
        },
        {"texts"},
    ),
}
OF_DATA = {"images", "numbers", "table", "texts", "series", "colours"}


def _sparse(name: str) -> dict[str, Any]:
    return {"compression.sparsity.name": name, "compression.sparsity.share": 0.8}


# What a technique needs beside its own leaf.
BESIDE: Mapping[str, Mapping[str, Any]] = {
    "curriculum": {"sampling.name": "curriculum", "sampling.start": 1.0},
    "privacy": {"privacy.noise": 1.0, "privacy.clip": 1.0},
    "magnitude_pruning": _sparse("magnitude"),
    "unit_pruning": {**_sparse("magnitude"), "compression.sparsity.unit": "unit"},
    "rewinding": {**_sparse("magnitude"), "compression.sparsity.rewind": 0.1},
    "fixed_zeros": _sparse("fixed"),
    "set": _sparse("set"),
    "rigl": _sparse("rigl"),
    "learned_activations": {
        "compression.activations.name": "learned",
        "compression.activations.bits": 4,
    },
    "asam": {"updates.sam_adaptive": True, "updates.sam_radius": 0.1},
    "pgd": {"attack.name": "pgd", "attack.epsilon": 0.1},
    "polyak": {"train.average.name": "polyak", "train.average.start": 0.0},
    "swa": {"train.average.name": "swa", "train.average.start": 0.0},
    "decay_on": {"updates.decay_on": "kernels"},
}
NOT_IN_STEPS = {
    "norm_momentum",
    "auto_precision",
    "corrupt",
    "corrupt_from",
    "image_size",
    "extra",
    "share",
    "early_stop",
    "keep_best",
    "schedules",
    "threshold",
    "judged_attack",
}
NAME_LAYERS = {"freeze", "rates"}
NEED_FILES = {"teacher", "teacher_features", "similarity", "synonyms", "homophones"}
# Numbers, counts and switches, of which a leaf takes the first that it can.
VALUES = (0.1, 2, True)


@cache
def data_of(spec: DataSpec) -> DataSet:
    return load_data(spec, Path.cwd(), Path(os.environ.get("HPO_DATA", ".")))


class Lane:
    """One lane of a pool that trains a spec for as long as it is asked to."""

    def __init__(self, document: Mapping[str, Any], leaves: Mapping[str, Any]) -> None:
        overrides = [f"{path}={json.dumps(value)}" for path, value in leaves.items()]
        training: Any = load_document(document, Path.cwd(), overrides).training
        data, device = data_of(training.data), local_devices("cpu")[0]
        program, knobs = split(training, data, "cpu")
        self._pool = Pool(device, Compiler())
        self._pool.load(program, Plans(Plan("map", 1)), data)
        self._pool.put(0, Run(0), training, knobs, None, 10**6)
        self._pool.round()

    def seconds(self, rounds: int) -> float:
        """The time that the processor works on some epochs."""
        start = time.process_time()
        for _ in range(rounds):
            self._pool.round()
        return time.process_time() - start


def document_of(model: str, epochs: int = 100) -> dict[str, Any]:
    """The spec of a model without any technique."""
    parts, _ = MODELS[model]
    return {"name": "cost", "optimizer": ADAMW, "train": {"epochs": epochs}, **parts}


def leaves_of(model: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each technique that goes with a model, and the leaves that switch it on."""
    met = MODELS[model][1]
    for name, line in TECHNIQUES.items():
        if name in NOT_IN_STEPS | NAME_LAYERS | NEED_FILES or not OF_DATA & {*line.needs} <= met:
            continue
        choices: list[Mapping[str, Any]] = [{line.place: value} for value in VALUES]
        if line.value:
            choices = [{line.place: line.value}]
        for leaves in [BESIDE[name]] if name in BESIDE else choices:
            overrides = [f"{path}={json.dumps(value)}" for path, value in leaves.items()]
            try:
                load_document(document_of(model), Path.cwd(), overrides)
            except HpoError:
                continue
            yield name, dict(leaves)
            break
    if model == "digits mlp":
        for name in OPTIMIZERS:
            if name != ADAMW["name"]:
                yield name, {"optimizer": {"name": name}}


def costs_of(model: str) -> dict[str, float]:
    """The per cent that an epoch takes longer, by technique; `nothing` is the same epoch again."""
    found = {}
    document = document_of(model)
    plain = Lane(document, {})
    rounds = max(1, round(TURN_SECONDS / plain.seconds(3) * 3))
    for name, leaves in [("nothing", {}), *leaves_of(model)]:
        try:
            other = Lane(document, leaves)
        except HpoError as error:
            print(f"{model}, {name}: {error}", file=sys.stderr)
            continue
        ratios = []
        for _ in range(TURNS):
            before, own, after = plain.seconds(rounds), other.seconds(rounds), plain.seconds(rounds)
            ratios.append(2 * own / (before + after))
        found[name] = 100 * (median(ratios) - 1)
        print(f"{model:12} {name:20} {found[name]:+.0f} %", file=sys.stderr)
    return found


def processor() -> str:
    """The cores of this machine and what they are."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")
    return f"{os.cpu_count()} cores of an {name or 'unknown processor'}"


def main() -> None:
    percent: dict[str, dict[str, float]] = {}
    for model in MODELS:
        for name, cost in costs_of(model).items():
            percent.setdefault(name, {})[model] = round(cost)
    noise = max(map(abs, percent.pop("nothing").values()))
    measured = f"on {processor()}, with benchmarks/techniques.py (optimizers: "
    measured += f"more than adamw; the same step again differed by up to {noise:.0f} %)"
    FILE.write_text(json.dumps({"measured": measured, "percent": percent}, indent=1) + "\n")


if __name__ == "__main__":
    main()
