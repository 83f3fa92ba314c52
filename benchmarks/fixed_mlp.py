"""Trials a second of `hpo` against a plain Optuna + Flax loop, both in one run.

256 random trials of 10 epochs of a digits MLP (64-128-128-10, batch 64, AdamW, cosine) whose
learning rate, weight decay and dropout vary. Ours counts from the start of the process, imports,
compiling and storing included, with no compiled code on disk; the loop counts from its first trial.
The loop compiles every trial anew, so its rate does not depend on how many it runs: fewer do.

    .venv/bin/python benchmarks/fixed_mlp.py
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def ours(folder: Path, cache: Path) -> dict[str, float]:
    """One whole `hpo search`, in a folder of its own."""
    folder.mkdir()
    environment = {**os.environ, "HPO_CACHE": str(cache)}
    hpo = [sys.executable, "-m", "hpo"]
    start = time.perf_counter()
    subprocess.run(
        [*hpo, "search", HERE / "fixed_mlp.yaml"],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
    )
    seconds = time.perf_counter() - start
    shown = subprocess.run(
        [*hpo, "show", "fixed-mlp", "--json"], cwd=folder, check=True, capture_output=True
    )
    study = json.loads(shown.stdout)
    return {"trials": 256, "seconds": seconds, "best": study["overview"]["best"]["value"]}


def loop(trials: int) -> dict[str, float]:
    """The plain loop, in a process of its own."""
    command = [sys.executable, HERE / "flax_loop.py", "--trials", str(trials)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(output.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--loop-trials", type=int, default=32, help="trials of the plain loop")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        rows = {
            "hpo search, cold": ours(Path(folder) / "cold", cache),
            "hpo search, a second study": ours(Path(folder) / "warm", cache),
            "Optuna + Flax loop": loop(arguments.loop_trials),
        }
    base = rows["Optuna + Flax loop"]
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    print(f"{'':28}{'trials':>8}{'seconds':>10}{'trials/s':>10}{'ratio':>8}{'best':>9}")
    for name, row in rows.items():
        row["trials_a_second"] = row["trials"] / row["seconds"]
        row["ratio"] = row["trials_a_second"] * base["seconds"] / base["trials"]
        print(
            f"{name:28}{row['trials']:8.0f}{row['seconds']:10.1f}"
            f"{row['trials_a_second']:10.2f}{row['ratio']:8.1f}{row['best']:9.4f}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
