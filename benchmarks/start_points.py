"""Start points of the presets for tables: settings that together do well on many public tables.

On each table, the spec that `hpo init` writes trains the same settings, drawn once at random from
the space of the preset, on 5 folds. A setting's regret on a table is how far its loss lies above
the best one there, in units of the median's distance, and at most 1. The points are chosen one by
one: each time the setting that lowers the most the mean over tables of the least regret so far.

    .venv/bin/python -m benchmarks.start_points FOLDER --out points.json

FOLDER has a folder `tables`. The tables are scikit-learn's and those of `benchmarks.tables` that
its comparison leaves out. Results are added to the file, so that another run goes on.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from sklearn import datasets

from benchmarks.tables import CHOOSING, FOLDS, TABLES, read, run

_SEARCH = """
import json, hpo
trials = sorted(hpo.search("t.yaml", quiet=True).trials, key=lambda trial: trial.number)
json.dump([trial.value for trial in trials], open("values.json", "w"))
"""
SKLEARN = ("breast_cancer", "diabetes", "iris", "wine")


def drawn(rng: np.random.Generator) -> dict[str, Any]:
    """A setting of the space `tables_good`, rounded as a person would write it."""

    def log(low: float, high: float) -> float:
        return float(f"{np.exp(rng.uniform(np.log(low), np.log(high))):.1e}")

    waves = bool(rng.random() < 0.7)
    return {
        "model.numbers": "periodic" if waves else "none",
        **({"model.frequency": log(0.03, 0.5)} if waves else {}),
        "model.dropout": round(float(rng.uniform(0.0, 0.5)), 2),
        "optimizer.learning_rate": log(5e-3, 0.1),
        "optimizer.weight_decay": log(3e-3, 1.0),
    }


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    """The public tables, the target last."""
    found = {name: read(folder / TABLES[name].file) for name in CHOOSING}
    for name in SKLEARN:
        loaded = getattr(datasets, f"load_{name}")(as_frame=True).frame
        found[f"sklearn_{name}"] = loaded
    return found


def losses(frame: pd.DataFrame, settings: list[dict[str, Any]], cache: Path) -> list[float]:
    """The validation loss of each setting on the 5 folds of a table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frame.to_csv(folder / "t.csv", index=False)
        run(folder, cache, "-m", "hpo", "init", "t.csv", "--target", str(frame.columns[-1]))
        spec: dict[str, Any] = yaml.safe_load((folder / "t.yaml").read_text())
        spec["data"] |= {"folds": FOLDS}
        for key in ("validation", "test"):
            spec["data"].pop(key, None)
        spec["space"] = {"include": ["tables_good"]}
        metric = "log_loss" if "loss" in spec else "rmse"
        spec["search"] = {
            "objective": {"minimize": metric},
            "trials": len(settings),
            "scheduler": {"name": "none"},
            "baselines": False,
            "start": settings,
        }
        spec["train"]["metrics"] = ["log_loss"] if metric == "log_loss" else []
        spec["train"]["epochs"] = min(spec["train"]["epochs"], 80)
        (folder / "t.yaml").write_text(yaml.safe_dump(spec))
        run(folder, cache, "-c", _SEARCH)
        return list(json.loads((folder / "values.json").read_text()))


def regrets(values: list[float]) -> np.ndarray:
    """0 for the best setting, 1 for the median and all that are worse."""
    found = np.array(values)
    return np.minimum((found - found.min()) / (np.median(found) - found.min()), 1.0)


def chosen(table: np.ndarray, count: int) -> list[int]:
    """Columns of a table of regrets, chosen one by one."""
    found: list[int] = []
    for _ in range(count):
        least = table[:, found].min(axis=1, initial=1.0)
        means = np.minimum(table, least[:, None]).mean(axis=0)
        found.append(int(means.argmin()))
    return found


def main() -> None:
    """Train all settings on all tables, and print the chosen ones."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="the folder of the tables")
    parser.add_argument("--out", type=Path, default=Path("points.json"), help="the results")
    parser.add_argument("--settings", type=int, default=24, help="drawn at random")
    parser.add_argument("--points", type=int, default=4, help="to choose")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    settings = [drawn(rng) for _ in range(options.settings)]
    found = json.loads(options.out.read_text()) if options.out.exists() else {}
    with tempfile.TemporaryDirectory() as cache:
        for name, frame in tables(options.data).items():
            if name not in found:
                found[name] = losses(frame, settings, Path(cache))
                options.out.write_text(json.dumps(found))
                print(name, f"{min(found[name]):.4g} to {max(found[name]):.4g}", flush=True)
    table = np.array([regrets(values) for values in found.values()])
    for number in chosen(table, options.points):
        print(f"{table[:, number].mean():.2f}", json.dumps(settings[number]))


if __name__ == "__main__":
    main()
