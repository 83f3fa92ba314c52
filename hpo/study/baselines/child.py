"""The process that fits the baselines of a search, with one thread at the lowest priority.

It ends with the process that started it. It gets arrays in a file and runs no code of a user's.
It writes each result to its standard output: a line of JSON, then the predictions, float64, whose
shapes the line tells.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from hpo.study.baselines.estimators import OF_THE_PAST, Problem, fitted
from hpo.study.baselines.handover import ENCODED, handed
from hpo.study.baselines.network import NETWORK, TooSlowError
from hpo.study.log.damage import said

_PR_SET_PDEATHSIG = 1
_LOWEST = 19

# What a baseline is fitted to, and the features that it judges, by split.
Fitting: TypeAlias = tuple[Problem, dict[str, Any]]


def main() -> None:
    """Fit the baselines that the request names."""
    _follow_parent()
    os.nice(_LOWEST)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no result
    request = json.loads(sys.argv[1])
    with os.fdopen(request["file"], "rb") as file:
        arrays = dict(handed(file, request["places"]))
    folds = {prefix: _fold(arrays, prefix, request) for prefix in request["prefixes"]}
    for name, setting in request["baselines"]:
        if (name, setting) not in OF_THE_PAST:
            import sklearn.base  # noqa: F401 - so that no baseline counts the time of its import
        began = time.process_time()
        trouble, found = "", dict[str, np.ndarray]()
        try:
            for prefix, fold in folds.items():
                problem, judged = fold[(name, setting) == NETWORK]
                predict = fitted((name, setting), problem)
                found |= {f"{prefix}{split}": predict(x) for split, x in judged.items()}
        except TooSlowError:
            trouble, found = "", {}  # as one that is cut, so that a run with more time tries again
        except Exception as error:  # an error of a library costs one baseline alone
            trouble, found = said(error), {}
        line = {"baseline": [name, setting], "seconds": time.process_time() - began}
        _send(out, {**line, "trouble": trouble}, found)


def _fold(
    arrays: Mapping[str, Any], prefix: str, request: Mapping[str, Any]
) -> tuple[Fitting, Fitting]:
    """What scikit-learn fits in a fold (or without folds), and what a network does."""
    own = {n.removeprefix(prefix): array for n, array in arrays.items() if n.startswith(prefix)}
    if request["are_counts"]:
        own |= weighted(own)
    problem = Problem(
        request["task"],
        request["outputs"],
        own["train.x"],
        own["train.y"],
        own.get("train.weight"),
        request["seed"],
        request["quantile"],
        request["window"],
        request["network"],
    )
    splits = {name: own[f"{name}.x"] for name in request["splits"]}
    if f"train.{ENCODED}" not in own:
        return (problem, splits), (problem, splits)
    encoded = {name: own[f"{name}.{ENCODED}"] for name in request["splits"]}
    return (problem, splits), (replace(problem, x=own[f"train.{ENCODED}"]), encoded)


def weighted(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The counts of tokens as TF-IDF, by the training rows."""
    from sklearn.feature_extraction.text import TfidfTransformer

    weigh = TfidfTransformer().fit(arrays["train.x"])
    return {name: weigh.transform(arrays[name]) for name in arrays if name.endswith(".x")}


def _send(out: Any, line: Mapping[str, Any], found: Mapping[str, np.ndarray]) -> None:
    shapes = {split: list(array.shape) for split, array in found.items()}
    out.write(json.dumps({**line, "shapes": shapes}).encode() + b"\n")
    for array in found.values():
        out.write(np.ascontiguousarray(array, np.float64).tobytes())
    out.flush()


def _follow_parent() -> None:
    """End with the process that started this one, which closes standard input as it ends."""
    # These are for the search, which ends this process.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(OSError):
        # Where memory runs out, this process goes before the search.
        Path("/proc/self/oom_score_adj").write_text("1000")
    if sys.platform == "linux":
        # The thread above may have to wait for a library.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)
