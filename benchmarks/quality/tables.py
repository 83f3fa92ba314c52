"""Tables of real trainings as problems.

A folder holds one family of tables and its `space.json`; each family says how it is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from hpo.search.levels import level_of
from hpo.space import Choice, Dimension, Distribution, Float, Int, SearchSpace
from hpo.trial import HParam, HParams

from .problem import Problem
from .recorded import of_study, recorded

# The family of problems that are studies, whose names are their sources, `URL#NAME`.
STUDIES = "study"


def problem_names(tables: Path) -> dict[str, tuple[str, ...]]:
    """The problems of each family that has a folder in `tables`."""
    names = {}
    for family, (list_names, _) in FAMILIES.items():
        if (tables / family / "space.json").is_file():
            names[family] = tuple(list_names(tables / family))
    return names


@lru_cache
def load_problem(tables: Path, family: str, name: str) -> Problem:
    """A problem of a family."""
    if family == STUDIES:
        return of_study(name)
    return FAMILIES[family][1](tables / family, name)


def _lcbench_names(folder: Path) -> Sequence[str]:
    if _has_onnxruntime() and (folder / "model.onnx").is_file():
        return tuple(_space(folder)["instances"])
    with np.load(folder / "table.npz") as table:
        return [str(name) for name in table["instances"]]


def _lcbench(folder: Path, name: str) -> Problem:
    """Validation accuracy by the surrogate model, or of recorded configurations."""
    parameters = _space(folder)["parameters"]
    space = _search_space(parameters)
    names = [parameter["name"] for parameter in parameters]
    if not (_has_onnxruntime() and (folder / "model.onnx").is_file()):
        with np.load(folder / "table.npz") as table:
            row = [str(other) for other in table["instances"]].index(name)
            losses = -table["val"][row].astype(float)
            return recorded(name, space, _rows(space, names, table["config"]), losses)
    session = _session(folder / "model.onnx")
    code = json.loads((folder / "encoding.json").read_text())["OpenML_task_id"][name]
    known = json.loads((folder / "optima.json").read_text())[name]
    epochs = int(_space(folder)["fidelity"]["max"])

    def losses_of(hparams: HParams, at: range) -> tuple[float, ...]:
        x = np.array([[e, *(hparams[path] for path in names)] for e in at], np.float32)
        rows = session.run(None, {"x_cat": np.full((len(at), 1), code, np.int32), "x_cont": x})[0]
        return tuple((-rows[:, 1]).astype(float).tolist())

    return Problem(
        name,
        space,
        epochs,
        curve=lambda hparams, rng: losses_of(hparams, range(1, epochs + 1)),
        value=lambda hparams: losses_of(hparams, range(epochs, epochs + 1))[0],
        best=-known["best_epoch52"],
        typical=-known["median_random_epoch52"],
    )


def _taskset_names(folder: Path) -> Sequence[str]:
    with np.load(folder / "taskset_rnn.npz") as table:
        return [str(name) for name in table["tasks"]]


def _taskset(folder: Path, name: str) -> Problem:
    """Validation loss of 1,000 recorded configurations; NaN is a divergence."""
    parameters = _space(folder)["parameters"]
    with np.load(folder / "taskset_rnn.npz") as table:
        row = [str(other) for other in table["tasks"]].index(name)
        config, losses = table["config"].copy(), table["val"][row].astype(float)
    for column, parameter in enumerate(parameters):
        if "one_minus_low" in parameter:
            config[:, column] = 1 - config[:, column]
    names = [_path(parameter) for parameter in parameters]
    space = _search_space(parameters)
    return recorded(name, space, _rows(space, names, config), losses)


def _fcnet_names(folder: Path) -> Sequence[str]:
    return sorted(_space(folder)["tables"])


def _fcnet(folder: Path, name: str) -> Problem:
    """Mean squared error after training, of a seed at random; worth the log of the seeds' mean."""
    with np.load(folder / f"{name}.npz") as table:
        errors = table["val"].astype(float)
    means = np.log(np.nanmean(errors, axis=-1))
    parameters = _space(folder)["parameters"]
    space = _search_space(parameters)

    def index(hparams: HParams) -> tuple[int, ...]:
        return tuple(level_of(d.distribution, hparams[d.path]) for d in space.dimensions)

    def curve(hparams: HParams, rng: np.random.Generator) -> tuple[float, ...]:
        seeds = errors[index(hparams)]
        return (float(rng.choice(seeds[np.isfinite(seeds)])),)

    return Problem(
        name,
        space,
        1,
        curve,
        value=lambda hparams: float(means[index(hparams)]),
        best=float(means.min()),
        typical=float(np.median(means)),
    )


FAMILIES: dict[str, tuple[Callable[[Path], Sequence[str]], Callable[[Path, str], Problem]]] = {
    "lcbench_surrogate": (_lcbench_names, _lcbench),
    "taskset_rnn": (_taskset_names, _taskset),
    "fcnet": (_fcnet_names, _fcnet),
}


def _rows(space: SearchSpace, names: Sequence[str], config: np.ndarray) -> list[HParams]:
    """The configurations of a table, a row each, drawn from `space`."""
    distributions = [space.by_path[path].distribution for path in names]
    return [
        {
            path: float(value) if isinstance(distribution, Float) else round(float(value))
            for path, distribution, value in zip(names, distributions, values, strict=True)
        }
        for values in config
    ]


def _search_space(parameters: Sequence[dict[str, Any]]) -> SearchSpace:
    return SearchSpace(tuple(Dimension(_path(p), _distribution(p)) for p in parameters))


def _path(parameter: dict[str, Any]) -> str:
    is_complement = "one_minus_low" in parameter
    return f"one_minus_{parameter['name']}" if is_complement else str(parameter["name"])


def _distribution(parameter: dict[str, Any]) -> Distribution:
    match parameter["type"]:
        case "categorical":
            values: list[HParam] = parameter["choices"]
            return Choice(tuple(values))
        case "ordinal":
            # By index, for every search alike: the order is kept, and 16 to 512 has even steps.
            return Int(0, len(parameter["choices"]) - 1)
        case "int":
            return Int(parameter["low"], parameter["high"], log=parameter["log"])
    low = parameter.get("low", parameter.get("one_minus_low"))
    high = parameter.get("high", parameter.get("one_minus_high"))
    return Float(low, high, log=parameter["log"])


def _space(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "space.json").read_text())
    return document


def _has_onnxruntime() -> bool:
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        return False
    return True


@lru_cache
def _session(model: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # The processes are as many as the cores already.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
