"""Models with weights that are drawn, not trained, and data of every kind for them."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hpo.data.load import load_data
from hpo.data.new.validation import validation_rows
from hpo.data.source import Source
from hpo.engine.models.abstract import abstract_model
from hpo.engine.program import split
from hpo.engine.training.compression.inputs import without_added
from hpo.engine.training.compression.packing import leaves
from hpo.spec.load import load_document
from hpo.trained.description import Description
from hpo.trained.model import Member, Model
from hpo.trained.packed import with_arrays

RNG = np.random.default_rng(0)
_WORDS = ("alpha", "beta", "gamma", "delta", "epsilon")


def data_of(folder: Path, kind: str) -> dict[str, Any]:
    """The data section of a small data set, whose file is written."""
    rng = np.random.default_rng(1)
    arrays: dict[str, Any] = {
        "colours": (rng.integers(0, 255, (40, 8, 8, 3), dtype=np.uint8), rng.integers(0, 3, 40)),
        "series": (rng.normal(size=(40, 6, 3)).astype(np.float32), rng.integers(0, 3, 40)),
        "masks": (
            rng.integers(0, 255, (24, 16, 16, 1), dtype=np.uint8),
            rng.integers(0, 2, (24, 16, 16)),
        ),
    }
    if kind in arrays:
        x, y = arrays[kind]
        np.savez(folder / f"{kind}.npz", x=x, y=y)
        dataset: dict[str, Any] = {"npz": f"{kind}.npz"}
        return {
            "dataset": dataset | ({"task": "segmentation"} if kind == "masks" else {}),
            "batch_size": 8,
        }
    if kind == "texts":
        rows = [[" ".join(rng.choice(_WORDS, 5)), "ny"[row % 2]] for row in range(40)]
        write(folder / "texts.csv", ["text", "y"], rows)
        return {
            "dataset": {"csv": "texts.csv", "target": "y"},
            "batch_size": 8,
            "columns": {"by_name": {"text": {"type": "text"}}},
            "text": {"vectors": "ids", "length": 6},
        }
    if kind == "language":
        (folder / "text.txt").write_text("the cat sat on the mat. a rat ran at the hat. " * 6)
        return {"dataset": {"text": "text.txt", "length": 8}, "batch_size": 4}
    if kind == "windows":
        return windows_of_days(folder)
    if kind == "amounts":
        rows = [[*rng.normal(size=2).round(3), *rng.normal(5, 3, 2).round(3)] for _ in range(40)]
        write(folder / "amounts.csv", ["a", "b", "y", "z"], rows)
        return {"dataset": {"csv": "amounts.csv", "target": ["y", "z"]}, "batch_size": 8}
    rows = [
        [round(rng.normal(), 3), round(rng.normal(), 3), "uvw"[i % 3], "ny"[i % 2]]
        for i in range(40)
    ]
    write(folder / "table.csv", ["a", "b", "c", "y"], rows)
    columns = {"columns": {"by_name": {"c": {"encode": "embed"}}}} if kind == "codes" else {}
    return {"dataset": {"csv": "table.csv", "target": "y"}, "batch_size": 8, **columns}


def windows_of_days(folder: Path, rows: int = 60, **dataset: Any) -> dict[str, Any]:
    """The data section of a series of days, whose file has them in any order."""
    rng = np.random.default_rng(1)
    days = np.arange(rows) + np.datetime64("2024-01-01")
    table = [
        [str(day), round(rng.normal(40, 9), 2), "uvw"[place % 3], round(rng.normal(5, 2), 3)]
        for place, day in enumerate(days)
    ]
    for row in table[::7]:
        row[1] = row[2] = ""
    rng.shuffle(table)
    write(folder / "days.csv", ["day", "heat", "mode", "power"], table)
    series = {"csv": "days.csv", "target": "power", "time": "day", "window": 4, "horizon": 2}
    return {"dataset": series | dataset, "batch_size": 8}


def write(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    with path.open("w", newline="") as out:
        csv.writer(out).writerows([header, *rows])


def drawn(
    folder: Path, data: dict[str, Any], model: dict[str, Any], **more: Any
) -> tuple[Model, Source | None]:
    """A model with drawn weights, and the rows of its data that validate."""
    document = {
        "name": "drawn",
        "data": data,
        "model": model,
        "optimizer": {"name": "adamw", "learning_rate": 0.01},
        "train": {"epochs": 1},
        **more,
    }
    experiment = load_document(document, folder)
    loaded = load_data(experiment.training.data, folder, None)
    program, _ = split(experiment.training, loaded, "cpu")
    shapes = abstract_model(program)
    arrays = {"params": without_added(shapes.params), "variables": shapes.variables}
    weights = jax.tree.map(_draw, arrays)
    # Running variances are positive.
    weights["variables"] = jax.tree.map(np.abs, weights["variables"])
    told = Description.of(loaded)
    empty = told.data_of(loaded.transform)
    found = Model(folder, experiment.training, told, (Member(weights, empty, None),), program)
    return found, validation_rows(experiment.training.data, folder, None)


def _draw(leaf: Any) -> np.ndarray:
    if not np.issubdtype(leaf.dtype, np.floating):
        return np.zeros(leaf.shape, leaf.dtype)
    return RNG.normal(0, 0.1, leaf.shape).astype(leaf.dtype)


def with_cut(model: Model, units: dict[str, list[int]], **changed: Any) -> Model:
    """A model of which units read nothing, and other arrays by their names, `__` for each `/`.

    `units` has the places of those of each layer. A norm after it, and a bias, stay as they are.
    """
    (member,) = model.members
    arrays = {name: np.array(one) for name, one in leaves(member.weights)}
    for layer, places in units.items():
        arrays[f"params/{layer}/kernel"][..., places] = 0
    arrays |= {f"params/{name.replace('__', '/')}": one for name, one in changed.items()}
    weights = with_arrays(member.weights, arrays)
    return replace(model, members=(member._replace(weights=weights),))


def features_for(model: Model, rows: int) -> np.ndarray:
    """Drawn features of some rows, as a model reads them."""
    rng, shape = np.random.default_rng(rows), (rows, *model.description.shape)
    if model.description.type == "int32":
        return rng.integers(0, model.program.vocabulary, shape).astype(np.int32)
    x = rng.normal(size=shape).astype(np.float32)
    x[:, : len(model.program.categories)] = 1
    return x
