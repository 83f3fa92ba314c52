"""What a recipe of `search_spaces` gains: 5 seeds with it and 5 without, on a data set each.

    HPO_DATA=... .venv/bin/python benchmarks/recipes.py text

Prints the mean of each side, and the gain of a seed over the same seed without the recipe, each
with an interval of 95 % by Student's t. The metric is the accuracy. For tables it is the RMSE, and
a gain is what the recipe takes away.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

import hpo

SEEDS = 5
# The plain side of each recipe: AdamW with a cosine. Those of texts and tables have their best
# learning rate; for tables it is the best of 0.01, 0.03 and 0.1.
PLAIN: Mapping[str, Mapping[str, Any]] = {
    "images": {
        "data": {
            "dataset": "fashion_mnist",
            "rows": 10000,
            "validation": 0.1,
            "test": "auto",
            "batch_size": 128,
        },
        "model": {"name": "cnn", "filters": [16, 32], "dense": 64, "norm": "batch"},
        "optimizer": {"name": "adamw", "learning_rate": 1.0e-3},
        "train": {"epochs": 20},
    },
    "text": {
        "data": {
            "dataset": {"csv": "sst2/train.tsv", "header": False, "target": "column_2"},
            "text": {"vectors": "ids", "tokens": "words", "vocabulary": 4000, "length": 32},
            "validation": 0.2,
            "test": 0.2,
            "batch_size": 64,
        },
        "model": {"name": "transformer", "width": 32, "depth": 1, "heads": 2},
        "optimizer": {"name": "adamw", "learning_rate": 5.0e-3},
        "train": {"epochs": 6},
    },
    "tables": {
        "data": {
            "dataset": {
                "csv": "california_housing/housing.csv",
                "target": "median_house_value",
            },
            "validation": 0.2,
            "test": 0.2,
            "batch_size": 128,
        },
        "model": {"name": "mlp", "widths": [64, 64]},
        "optimizer": {"name": "adamw", "learning_rate": 3.0e-2},
        "train": {"epochs": 20},
    },
}
COSINE = {"name": "cosine", "warmup": 0.1}


def spec_of(kind: str, recipe: str | None) -> dict[str, Any]:
    """The spec of one side: plain, or with a recipe."""
    plain = PLAIN[kind]
    spec = {"name": kind, **plain}
    spec["optimizer"] = {**plain["optimizer"], "schedule": COSINE}
    spec["train"] = {**plain["train"], "seeds": SEEDS}
    return spec if recipe is None else {**spec, "space": {"include": [recipe]}}


def values_of(spec: Mapping[str, Any], metric: str) -> dict[str, list[float]]:
    """The metric of each seed, by split."""
    with tempfile.TemporaryDirectory() as folder:
        hpo.train(dict(spec), Path(folder) / "model", quiet=True)
        text = (Path(folder) / "model" / "metrics.json").read_text()
    runs = list(json.loads(text)["seeds"].values())
    return {split: [run[split][metric] for run in runs] for split in ("validation", "test")}


def interval(values: Sequence[float]) -> dict[str, float]:
    """The mean, and half of its interval of 95 %."""
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return {"mean": float(np.mean(values)), "half": float(half)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(PLAIN))
    kind = parser.parse_args().kind
    recipes = (None, f"recipe_{kind}")
    metric, sign = ("rmse", -1) if kind == "tables" else ("accuracy", 1)
    with ThreadPoolExecutor(len(recipes)) as threads:  # each side has a process of its own
        sides = [threads.submit(values_of, spec_of(kind, recipe), metric) for recipe in recipes]
        plain, own = (side.result() for side in sides)
    for split in ("validation", "test"):
        gain = [sign * (b - a) for a, b in zip(plain[split], own[split], strict=True)]
        rows = {"plain": plain[split], "recipe": own[split], "gain": gain}
        print(json.dumps({"split": split} | {name: interval(row) for name, row in rows.items()}))


if __name__ == "__main__":
    main()
