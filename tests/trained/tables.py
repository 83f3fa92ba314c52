"""A table with gaps, categories, booleans and dates, and models that were trained on it."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np

import hpo
from hpo.data.load import load_data
from hpo.data.split import split_rows, split_sizes
from hpo.spec.experiment import Experiment
from hpo.spec.load import load_document
from tests.study.whole import Studies

ROWS = 120
NAMES = ("age", "city", "income", "member", "when", "churn")


def write_table(path: Path, target: str = "churn") -> None:
    """Rows in which the age, the city and the income say something of the target."""
    rng = np.random.default_rng(0)
    age, income = rng.integers(18, 80, ROWS), rng.normal(40, 9, ROWS).round(3)
    city, member = rng.choice(["Oslo", "Rome", "Bonn"], ROWS), rng.random(ROWS) > 0.5
    days = rng.integers(0, 365, ROWS).astype("timedelta64[D]") + np.datetime64("2024-01-01")
    score = (age > 45) + (city == "Rome") + rng.random(ROWS)
    churn = np.where(score > 1.3, "yes", "no") if target == "churn" else (score * 7).round(2)
    has_age, has_city = rng.random(ROWS) > 0.1, rng.random(ROWS) > 0.1
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(NAMES)
        for row in range(ROWS):
            cells = [age[row] if has_age[row] else "", city[row] if has_city[row] else ""]
            writer.writerow([*cells, income[row], member[row], days[row], churn[row]])


def an_experiment(folder: Path, *overrides: str, **parts: Any) -> Experiment:
    """The experiment of the table in a folder."""
    document = {
        "name": "churn",
        "data": {
            "dataset": {"csv": "table.csv", "target": "churn"},
            "batch_size": 16,
            "columns": {"by_name": {"when": {"type": "date"}}},
        },
        "model": {"name": "mlp", "widths": [4]},
        "optimizer": {"name": "adamw", "learning_rate": 0.03},
        "train": {"epochs": 3},
    }
    return load_document({**document, **parts}, folder, overrides)


def trained(studies: Studies, folder: Path, *overrides: str, **parts: Any) -> Path:
    """The folder of a model that was trained on the table in a folder."""
    studies.train(an_experiment(folder, *overrides, **parts), folder / "model")
    return folder / "model"


def rows_of(experiment: Experiment, split: str) -> np.ndarray:
    """The rows of the table that a split of a classification has."""
    data = load_data(experiment.training.data, experiment.folder, None)
    lines = (experiment.folder / "table.csv").read_text().splitlines()[1:]
    labels = np.array([data.classes.index(line.rpartition(",")[2]) for line in lines], np.int32)
    spec = experiment.training.data
    sizes = split_sizes(spec, ROWS, has_own_test=False, classes=len(data.classes))
    found: np.ndarray = getattr(split_rows(sizes, labels, spec.split_seed), split)
    return found


def write_rows(table: Path, rows: np.ndarray, path: Path) -> Path:
    """Some rows of a table as one of their own."""
    first, *lines = table.read_text().splitlines()
    path.write_text("\n".join([first, *(lines[row] for row in rows)]) + "\n")
    return path


def store(folder: Path) -> None:
    """Write the folder of a model with new rows and its answers, for later releases to read."""
    write_table(folder / "table.csv")
    spec = an_experiment(folder, model={"name": "mlp", "widths": []})
    Studies(folder, folder / "compiled").train(spec, folder / "model")
    new = write_rows(folder / "table.csv", np.arange(9), folder / "new.csv")
    hpo.load(folder / "model").predict(new).to_csv(folder / "answers.csv", index=False)


if __name__ == "__main__":
    store(Path(sys.argv[1]))
