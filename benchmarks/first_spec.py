"""Compares the specs that `hpo init` writes with an `mlp` of default leaves: `--help` says how.

Both train on the same splits. Of the written spec, the best trial of the search is trained in full;
no choice sees the test split, on which both are compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from hpo.registry import METRICS

TABLES = (
    "tables/housing.csv",
    "tables/glass.csv",
    "tables/phoneme.csv",
    "tables/auto_imports.csv",
    "california_housing/housing.csv.gz",
)


def main() -> None:
    """Print a row for each table: the test metric of both, as a mean over splits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="the folder of the tables")
    parser.add_argument("--splits", type=int, default=2, help="splits to take the mean of")
    parser.add_argument("--preset", default="good", help="of `hpo init`")
    options = parser.parse_args()
    print("| table | metric | mlp with its defaults | written spec |\n|---|---|---:|---:|")
    for table in TABLES:
        metric, scores = "", []
        for seed in range(options.splits):
            metric, both = compared(options.data.resolve() / table, seed, options.preset)
            scores.append(both)
        plain, written = (mean(values) for values in zip(*scores, strict=True))
        print(f"| {table} | {metric} | {plain:.4g} | {written:.4g} |", flush=True)


def compared(table: Path, seed: int, preset: str) -> tuple[str, tuple[float, float]]:
    """The metric of a table, and what both models reach on the test rows of a split."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(folder, "init", str(table), "--preset", preset, "-o", "t.yaml")
        spec: dict[str, Any] = yaml.safe_load((folder / "t.yaml").read_text())
        spec["data"]["split_seed"] = seed
        spec["search"]["baselines"] = False
        (folder / "t.yaml").write_text(yaml.safe_dump(spec))
        (metric,) = spec["search"]["objective"].values()
        further = [metric] if METRICS[metric].function else []
        plain = {
            "name": "plain",
            "data": {k: v for k, v in spec["data"].items() if k not in ("columns", "text")},
            "model": {"name": "mlp"},
            "optimizer": {"name": "adamw"},
            "train": {"epochs": spec["train"]["epochs"], "metrics": further},
        }
        (folder / "plain.yaml").write_text(yaml.safe_dump(plain))
        run(folder, "search", "t.yaml", "--quiet")
        run(folder, "train", "t.yaml", "-o", "best", "--quiet")
        run(folder, "train", "plain.yaml", "-o", "plain", "--quiet")
        found = [
            float(
                json.loads((folder / model / "metrics.json").read_text())["metrics"]["test"][metric]
            )
            for model in ("plain", "best")
        ]
        return metric, (found[0], found[1])


def run(folder: Path, *words: str) -> None:
    """Run a command of hpo in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "hpo", *words], cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"hpo {' '.join(words)}: {done.stderr}")


if __name__ == "__main__":
    main()
