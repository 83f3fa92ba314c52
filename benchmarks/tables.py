"""Tables: the spec that `hpo init` writes beside tuned gradient boosting, at equal CPU time.

For each split, a fifth of the rows is held out for the test. On the others `hpo init` writes a
spec, `hpo search` searches it with `--trials` trials and `hpo train` trains its winner. Then
histogram gradient boosting of scikit-learn draws settings at random until it has used as much CPU
time. Both choose by the mean of 5 folds. Boosting is fitted again on the rows of all folds; of the
winner of hpo, the models of the folds predict together. No choice sees the test rows.

    .venv/bin/python -m benchmarks.tables FOLDER --out tables.json

FOLDER has a folder `tables`. Results are added to the file, so that another run goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml
from scipy.stats import t as student
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import get_scorer
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score, train_test_split
from threadpoolctl import threadpool_limits


class Table(NamedTuple):
    """A table without a header whose last column is the target."""

    file: str
    metric: str


# All tables of the folder `tables` that are no series, by name.
TABLES = {
    "auto_imports": Table("tables/auto_imports.csv", "rmse"),
    "banknote": Table("tables/banknote_authentication.csv", "auroc"),
    "breast_cancer": Table("tables/breast-cancer.csv", "auroc"),
    "german": Table("tables/german.csv", "auroc"),
    "glass": Table("tables/glass.csv", "log_loss"),
    "housing": Table("tables/housing.csv", "rmse"),
    "ionosphere": Table("tables/ionosphere.csv", "auroc"),
    "mammography": Table("tables/mammography.csv", "auroc"),
    "oil_spill": Table("tables/oil-spill.csv", "auroc"),
    "phoneme": Table("tables/phoneme.csv", "auroc"),
    "pima": Table("tables/pima-indians-diabetes.csv", "auroc"),
    "sonar": Table("tables/sonar.csv", "auroc"),
}
# Of these the start points of the presets were chosen (`benchmarks.start_points`), so that the
# comparison is of the others.
CHOOSING = ("auto_imports", "banknote", "breast_cancer", "sonar")
SCORERS = {
    "rmse": "neg_root_mean_squared_error",
    "auroc": "roc_auc",
    "log_loss": "neg_log_loss",
}
FOLDS = 5


def read(path: Path) -> pd.DataFrame:
    """A table whose columns are named as `hpo` names them."""
    frame = pd.read_csv(path, header=None, na_values="?", quotechar="'")
    return frame.rename(columns={place: f"column_{place + 1}" for place in frame.columns})


def parts(frame: pd.DataFrame, metric: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows that train, and a fifth that tests."""
    classes = None if metric == "rmse" else frame.iloc[:, -1]
    train, test = train_test_split(frame, test_size=0.2, random_state=seed, stratify=classes)
    return train, test


def of_hpo(
    train: pd.DataFrame, test: pd.DataFrame, table: Table, options: Any, cache: Path
) -> dict[str, Any]:
    """The test score of the winner of a search, and the CPU seconds of all its processes."""
    target = train.columns[-1]
    before = _children()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train.to_csv(folder / "train.csv", index=False)
        test.to_csv(folder / "test.csv", index=False)
        init = ("init", "train.csv", "--preset", options.preset, "--target", target)
        run(folder, cache, "-m", "hpo", *init)
        spec: dict[str, Any] = yaml.safe_load((folder / "train.yaml").read_text())
        spec["data"]["dataset"]["test"] = "test.csv"
        spec["data"] |= {"test": "auto", "folds": FOLDS}
        spec["data"].pop("validation", None)
        way = "minimize" if table.metric in ("rmse", "log_loss") else "maximize"
        spec["search"] |= {"objective": {way: table.metric}, "baselines": False}
        spec["search"]["trials"] = options.trials
        spec["train"]["metrics"] = [] if table.metric == "rmse" else [table.metric]
        (folder / "train.yaml").write_text(yaml.safe_dump(spec))
        run(folder, cache, "-c", _SEARCH)
        metrics = json.loads((folder / "model" / "metrics.json").read_text())["metrics"]
    found = {split: metrics[split][table.metric] for split in ("validation", "test")}
    return {**found, "seconds": _children() - before}


def of_boosting(
    train: pd.DataFrame, test: pd.DataFrame, table: Table, seconds: float, seed: int
) -> dict[str, Any]:
    """The test score of the best settings that boosting has tried within these CPU seconds."""
    is_class = table.metric != "rmse"
    train, test = train.copy(), test.copy()
    target = train.columns[-1]
    for column in train.columns[:-1]:
        if not pd.api.types.is_numeric_dtype(train[column]):
            kinds = pd.CategoricalDtype(sorted(train[column].dropna().unique()))
            train[column], test[column] = train[column].astype(kinds), test[column].astype(kinds)
    x, y = train.drop(columns=target), train[target]
    score = get_scorer(SCORERS[table.metric])
    split = StratifiedKFold if is_class else KFold
    folds = split(FOLDS, shuffle=True, random_state=seed)
    model = HistGradientBoostingClassifier if is_class else HistGradientBoostingRegressor
    rng, start = np.random.default_rng(seed), time.process_time()
    best, settings, tried = -math.inf, {}, 0
    while not tried or time.process_time() - start < seconds:
        drawn = drawn_settings(rng) if tried else {}
        estimator = model(**drawn, categorical_features="from_dtype", random_state=seed)
        value = float(cross_val_score(estimator, x, y, cv=folds, scoring=score).mean())
        tried += 1
        if value > best:
            best, settings = value, drawn
    chosen = model(**settings, categorical_features="from_dtype", random_state=seed).fit(x, y)
    sign = -1 if table.metric in ("rmse", "log_loss") else 1
    test_score = sign * float(score(chosen, test.drop(columns=target), test[target]))
    spent = time.process_time() - start
    return {"validation": sign * best, "test": test_score, "seconds": spent, "settings": tried}


def drawn_settings(rng: np.random.Generator) -> dict[str, Any]:
    """Settings at random, around those that benchmarks of tables search."""
    return {
        "learning_rate": float(np.exp(rng.uniform(np.log(0.01), np.log(0.3)))),
        "max_iter": int(np.exp(rng.uniform(np.log(50), np.log(400)))),
        "max_leaf_nodes": int(rng.choice([4, 8, 16, 31, 63])),
        "min_samples_leaf": int(np.exp(rng.uniform(np.log(2), np.log(50)))),
        "l2_regularization": float(np.exp(rng.uniform(np.log(1e-6), np.log(10)))),
        "max_features": float(rng.uniform(0.3, 1.0)),
    }


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


# Both in one process, which imports and compiles once.
_SEARCH = "import hpo; hpo.search('train.yaml', quiet=True).train('model', quiet=True)"


def run(folder: Path, cache: Path, *words: str) -> None:
    """Run Python with these words in a folder, with compiled programs in `cache`, or end."""
    environment = {**os.environ, "HPO_CACHE": str(cache)}
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)}\n{done.stdout}{done.stderr}")


def difference(rows: list[Mapping[str, Any]], metric: str) -> tuple[float, float]:
    """How much better hpo is on the test rows: the mean over splits, and half its 95 % interval."""
    sign = -1 if metric in ("rmse", "log_loss") else 1
    gains = np.array([sign * (row["hpo"]["test"] - row["boosting"]["test"]) for row in rows])
    if len(gains) < 2:
        return float(gains.mean()), math.nan
    half = student.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / math.sqrt(len(gains))
    return float(gains.mean()), float(half)


def table_text(results: Mapping[str, list[Mapping[str, Any]]]) -> str:
    """The results as a table of Markdown."""
    lines = ["| table | metric | splits | boosting | hpo | hpo is better by | CPU seconds |"]
    lines.append("|---|---|---:|---:|---:|---:|---:|")
    for name, rows in sorted(results.items()):
        metric = TABLES[name].metric
        ours, theirs = (
            np.mean([row[side]["test"] for row in rows]) for side in ("hpo", "boosting")
        )
        mean, half = difference(rows, metric)
        interval = f" ± {half:,.2g}" if len(rows) > 1 else ""
        seconds = np.mean([row["hpo"]["seconds"] for row in rows])
        lines.append(
            f"| {name} | {metric} | {len(rows)} | {theirs:,.4g} | {ours:,.4g} "
            f"| {mean:+,.3g}{interval} | {seconds:.0f} |"
        )
    won = sum(difference(rows, TABLES[name].metric)[0] >= 0 for name, rows in results.items())
    return "\n".join([*lines, f"\nAt or above boosting on {won} of {len(results)} tables."])


def main() -> None:
    """Compare both sides on each table, a split of every table before the next one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="the folder of the tables")
    parser.add_argument("--out", type=Path, default=Path("tables.json"), help="the results")
    parser.add_argument(
        "--tables",
        nargs="*",
        default=[name for name in TABLES if name not in CHOOSING],
        choices=TABLES,
    )
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--preset", default="good", help="of `hpo init`")
    parser.add_argument("--trials", type=int, default=8, help="of the search")
    options = parser.parse_args()
    found = json.loads(options.out.read_text()) if options.out.exists() else {}
    with tempfile.TemporaryDirectory() as cache:
        for seed in range(options.splits):
            for name in options.tables:
                rows = found.setdefault(name, [])
                if any(row["split"] == seed for row in rows):
                    continue
                table = TABLES[name]
                train, test = parts(read(options.data / table.file), table.metric, seed)
                ours = of_hpo(train, test, table, options, Path(cache))
                with threadpool_limits(1):  # waiting threads would count as CPU time
                    theirs = of_boosting(train, test, table, ours["seconds"], seed)
                rows.append({"split": seed, "hpo": ours, "boosting": theirs})
                options.out.write_text(json.dumps(found, indent=1))
                print(name, seed, ours, theirs, flush=True)
    print(table_text({name: rows for name, rows in found.items() if rows}))


if __name__ == "__main__":
    main()
