"""Validation on 8 folds beside the same training steps without folds.

Whole searches of the digits, each in a process and a folder of its own, in turns. `folds` trains 64
configurations on 8 folds. `seeds` trains the same 64 on 8 seeds of one split, and `trials` 512
configurations on that split. All take as many steps of as many rows, and validate on as many.
It prints the least seconds of each, from the start of the process to its end, and the ratios.

    .venv/bin/python -m benchmarks.folds
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPEC = Path(__file__).resolve().parent / "fixed_mlp.yaml"
FOLDS = 8
# The rows of digits are 1,797; each fold trains on 1,572 or 1,573.
SPLIT = "data.validation=225"


def searches(configurations: int) -> dict[str, list[str]]:
    """What each search changes in the spec."""
    trials = f"search.trials={configurations}"
    return {
        "folds": [f"data.folds={FOLDS}", trials],
        "seeds": [SPLIT, f"train.seeds={FOLDS}", trials],
        "trials": [SPLIT, f"search.trials={FOLDS * configurations}"],
    }


def seconds_of(overrides: list[str], cache: Path) -> float:
    """The time of a search in a new folder, with the compiled programs in `cache`."""
    with tempfile.TemporaryDirectory() as folder:
        fixed = ["data.test=0", "search.baselines=false"]
        sets = [word for text in [*fixed, *overrides] for word in ("--set", text)]
        command = [sys.executable, "-m", "hpo", "search", str(SPEC), "--quiet", *sets]
        # The spec's folder is not written to: the database is in the present folder.
        environment = {**os.environ, "HPO_CACHE": str(cache)}
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configurations", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3, help="searches of each kind")
    arguments = parser.parse_args()
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as cache:
        for turn in range(arguments.repeats + 1):  # the first one compiles
            for name, overrides in searches(arguments.configurations).items():
                seconds = seconds_of(overrides, Path(cache))
                if turn:
                    best[name] = min(seconds, best.get(name, seconds))
    ratios = {f"folds to {name}": best["folds"] / best[name] for name in ("seeds", "trials")}
    print(json.dumps({"seconds": best, "ratios": ratios}, indent=2))


if __name__ == "__main__":
    main()
