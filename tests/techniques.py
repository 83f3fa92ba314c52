"""Trainings and specs that use given techniques, for the tests of what goes together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.data.load import load_data
from hpo.engine.training.compression.distillation import ANSWERS
from hpo.entries import Fact, Need
from hpo.registry import OPTIMIZERS
from hpo.spec.experiment import Training
from hpo.spec.schema import field_errors, leaves_at
from hpo.techniques import TECHNIQUES
from tests.engine.samples import with_extra

# Sections that no single number can switch on.
WRITTEN: dict[str, dict[str, Any]] = {
    "privacy": {"privacy": {"clip": 1.0, "noise": 1.0}},
    "pgd": {"attack": {"name": "pgd", "epsilon": 0.1, "steps": 2}},
    "norm_momentum": {"model": {"norm": "batch", "norm_momentum": 0.5}},
    "share": {"sampling": {"share": 0.5}},
    "extra": {"data": {"extra": "more.csv"}, "sampling": {"extra_share": 0.25}},
    "magnitude_pruning": {"compression": {"sparsity": {"name": "magnitude", "share": 0.5}}},
    "rewinding": {
        "compression": {"sparsity": {"name": "magnitude", "share": 0.5, "end": 0.4, "rewind": 0.3}}
    },
    "unit_pruning": {
        "compression": {"sparsity": {"name": "magnitude", "share": 0.5, "unit": "unit"}}
    },
    "teacher": {"compression": {"teacher": {"from": "big"}}},
    "teacher_features": {"compression": {"teacher": {"match": "features"}}},
    "similarity": {"compression": {"teacher": {"similarity": 1.0}}},
    "fixed_zeros": {"compression": {"sparsity": {"name": "fixed", "share": 0.5}}},
    "set": {"compression": {"sparsity": {"name": "set", "share": 0.5}}},
    "rigl": {"compression": {"sparsity": {"name": "rigl", "share": 0.5}}},
    "integer_weights": {"compression": {"weights": {"name": "integer", "bits": 4}}},
    "learned_weights": {"compression": {"weights": {"name": "learned", "bits": 4}}},
    "binary_bases": {"compression": {"weights": {"name": "bases"}}},
    "rounded_activations": {"compression": {"activations": {"bits": 4}}},
    "learned_activations": {"compression": {"activations": {"name": "learned", "bits": 4}}},
    "corrupt": {"data": {"corrupt": {"kinds": ["gaussian_noise"]}}},
    "corrupt_from": {"data": {"corrupt": {"from": "changed.csv"}}},
    "freeze": {"updates": {"freeze": ["head*"]}},
    "rates": {"updates": {"rates": {"head": 2.0}}},
    "early_stop": {"train": {"early_stop": {"patience": 1}}},
    "schedules": {
        "train": {"schedules": {"optimizer.learning_rate": {"name": "linear", "to": 0.001}}}
    },
}
_NUMBERS = (0.1, 1.0, 2, True)


@cache
def written(name: str) -> dict[str, Any]:
    """The sections that switch a technique on, or choose an optimizer."""
    if name in WRITTEN:
        return WRITTEN[name]
    if name in OPTIMIZERS:
        batch = {"data": {"batch_size": "all"}} if "all rows" in OPTIMIZERS[name].needs else {}
        return {"optimizer": {"name": name, "learning_rate": 0.01}, **batch}
    line = TECHNIQUES[name]
    (leaf,) = leaves_at(Training, line.place)[:1]
    names = _names(leaf.owner.model_fields[leaf.field].annotation)
    default = leaf.owner.model_fields[leaf.field].default
    for value in (line.value,) if line.value else (*_NUMBERS, *names):
        errors = field_errors(leaf.owner, {leaf.field: value})
        if value != default and leaf.field not in errors:
            return _nested(line.place, value)
    raise AssertionError(f"no value of {line.place} was found: write one in WRITTEN")


def document(names: Iterable[str]) -> dict[str, Any]:
    """The sections of a training that uses these techniques and at most one optimizer."""
    kind = kind_of(names)
    found: dict[str, Any] = {
        "data": {**_DATA[kind], "batch_size": 16},
        "model": _MODELS[kind],
        "optimizer": {"name": "sgd", "learning_rate": 0.01},
        "train": {"epochs": 3},
    }
    for name in names:
        found = merged(found, written(name))
    return found


def are_alternatives(names: Iterable[str]) -> bool:
    """Whether one leaf would have several values."""
    places = ["optimizer.name" if name in OPTIMIZERS else TECHNIQUES[name].place for name in names]
    return len({*places}) < len(places)


def excluded(names: Iterable[str]) -> bool:
    """Whether the table excludes a pair of these techniques, or the data that they need."""
    names = [*names]
    wants = {need for name in names if name in TECHNIQUES for need in TECHNIQUES[name].needs}
    held: dict[str, set[Fact]] = {name: {*_needs(name)} for name in names}
    for name in names:
        sparsity = document([name]).get("compression", {}).get("sparsity", {})
        if sparsity.get("name") in ("magnitude", "n_of_m"):
            held[name].add("growing sparsity")
    if wants & LACKING[kind_of(names)]:
        return True
    return any(
        fact in held[other]
        for name in names
        if name in TECHNIQUES
        for fact in TECHNIQUES[name].excludes
        for other in names
        if other != name
    )


def kind_of(names: Iterable[str]) -> str:
    """The kind of data that techniques are for: that of the first one that needs some."""
    for name in names:
        if name in ("stochastic_depth", "remat"):
            return "texts"  # of which the model is a transformer
        for need in TECHNIQUES[name].needs if name in TECHNIQUES else ():
            if need in ("images", "texts", "series"):
                return str(need)
    return "table"


def small_data(folder: Path) -> dict[str, DataSet]:
    """Small data of each kind; texts are read from a file in the folder."""
    words = [f"{'good' if row % 2 else 'bad'} film {row % 7}" for row in range(160)]
    (folder / "synonyms.tsv").write_text("good\tbad\tfilm\nfilm\tgood\n3\t4\n")
    lines = "".join(f"{text},{'yn'[row % 2]}\n" for row, text in enumerate(words))
    (folder / "texts.csv").write_text(f"text,label\n{lines}")
    spec = Training.model_validate(document(["word_dropout"])).data
    found = {
        "table": _two_classes((5,)),
        "images": _two_classes((8, 8, 3)),
        "series": _two_classes((6, 2)),
        "texts": load_data(spec, folder, None),
    }
    return {kind: _with_a_teacher(data) for kind, data in found.items()}


def _with_a_teacher(data: DataSet) -> DataSet:
    """Data whose training rows have answers of a model that is never sure."""
    answers = np.eye(data.outputs, dtype=np.float32)[data.train.y]
    return replace(data, train=Split({**data.train.held, ANSWERS: answers}, scale=data.train.scale))


def _two_classes(shape: tuple[int, ...]) -> DataSet:
    """Examples of two classes, so that they have a threshold, too."""
    rng, parts = np.random.default_rng(0), []
    for count in (96, 40):
        x = rng.standard_normal((count, *shape)).astype(np.float32)
        y = (x.reshape(count, -1)[:, 0] > 0).astype(np.int32)
        parts.append(Split({"x": x, "y": y}))
    return with_extra(DataSet("classification", *parts, None, 2, str(shape)), 10)


_DATA: dict[str, Any] = {
    "table": {"dataset": "iris"},
    "images": {"dataset": "digits"},
    "series": {"dataset": "digits"},
    "texts": {
        "dataset": {"csv": "texts.csv", "target": "label", "task": "classification"},
        "columns": {"by_name": {"text": {"type": "text"}}},
        "text": {
            "vectors": "ids",
            "shortest": 1,
            "length": 4,
            "synonyms": "synonyms.tsv",
            "homophones": "synonyms.tsv",
        },
    },
}
_MODELS: dict[str, Any] = {
    "table": {"name": "mlp", "widths": [6]},
    "images": {"name": "mlp", "widths": [6]},
    "series": {"name": "mlp", "widths": [6]},
    "texts": {"name": "transformer", "width": 4, "heads": 2, "depth": 1},
}
LACKING: dict[str, set[Need]] = {
    "table": {"images", "texts", "colours", "series", "synonyms", "homophones"},
    "series": {"images", "texts", "colours", "table", "synonyms", "homophones"},
    "images": {"table", "texts", "series", "synonyms", "homophones"},
    "texts": {"images", "table", "numbers", "colours", "series"},
}


def _needs(name: str) -> tuple[Need, ...]:
    return OPTIMIZERS[name].needs if name in OPTIMIZERS else TECHNIQUES[name].needs


def _names(annotation: Any) -> list[str]:
    """The names that a type may be one of."""
    if isinstance(annotation, str):
        return [annotation]
    return [name for inner in get_args(annotation) for name in _names(inner)]


def _nested(path: str, value: Any) -> dict[str, Any]:
    name, _, rest = path.partition(".")
    return {name: _nested(rest, value) if rest else value}


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Two documents as one; the names of the other win."""
    found = dict(one)
    for key, value in other.items():
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = merged(found[key], value) if both else value
    return found
