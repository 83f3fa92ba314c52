"""Tables of real trainings as problems: a search space, a learning curve of any hparams, a regret.

A folder holds one family of tables and its `space.json`; each family says how it is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from hpo.search.levels import level_of
from hpo.space import Choice, Dimension, Distribution, Float, Int, SearchSpace
from hpo.trial import HParam, HParams

Curve = Callable[[HParams, np.random.Generator], tuple[float, ...]]


@dataclass(frozen=True)
class Problem:
    """One table. `curve` gives the loss after each epoch; it stops before one that is not finite.

    `value` is what a configuration is worth in the end, without noise; `best` is the smallest that
    is known and `typical` the median of random configurations: a regret is told in shares of the
    distance between them.

    A study on a table of some configurations is a search among these, with their own values and
    curves, for every search alike: `snap` gives the one that stands for a proposal. It is the
    nearest, on axes scaled to [0, 1], that is not in `taken`, to which it is added.
    """

    name: str
    space: SearchSpace
    epochs: int
    curve: Curve
    value: Callable[[HParams], float]
    best: float
    typical: float
    snap: Callable[[HParams, set[int]], HParams] = lambda hparams, taken: hparams

    def regret(self, hparams: HParams) -> float:
        """0 for the best known configuration, 1 for a typical random one and all that are worse."""
        value = self.value(hparams)
        if not np.isfinite(value):
            return 1.0
        return float(np.clip((value - self.best) / (self.typical - self.best), 0.0, 1.0))


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
            return _recorded(name, space, names, table["config"], losses)
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
    return _recorded(name, _search_space(parameters), names, config, losses)


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


def _recorded(
    name: str, space: SearchSpace, names: Sequence[str], config: np.ndarray, losses: np.ndarray
) -> Problem:
    """A table of some configurations, drawn from `space`."""
    distributions = [space.by_path[path].distribution for path in names]
    rows = [
        {
            path: float(value) if isinstance(distribution, Float) else round(float(value))
            for path, distribution, value in zip(names, distributions, values, strict=True)
        }
        for values in config
    ]
    scaled = np.stack(
        [_scaled(each, config[:, column]) for column, each in enumerate(distributions)], axis=1
    )
    final = np.where(np.isfinite(losses).all(axis=1), losses[:, -1], np.inf)
    row_of = {tuple(row.values()): index for index, row in enumerate(rows)}

    def snap(hparams: HParams, taken: set[int]) -> HParams:
        point = [
            float(_scaled(each, np.array(hparams[path], float)))
            for path, each in zip(names, distributions, strict=True)
        ]
        away = ((scaled - point) ** 2).sum(axis=1)
        if len(taken) < len(rows):
            away[list(taken)] = np.inf
        taken.add(int(away.argmin()))
        return rows[int(away.argmin())]

    def index(hparams: HParams) -> int:
        return row_of[tuple(hparams[path] for path in names)]

    def curve(hparams: HParams, rng: np.random.Generator) -> tuple[float, ...]:
        whole = losses[index(hparams)]
        bad = np.flatnonzero(~np.isfinite(whole))
        return tuple(whole[: bad[0] if bad.size else None].tolist())

    return Problem(
        name,
        space,
        losses.shape[1],
        curve,
        value=lambda hparams: float(final[index(hparams)]),
        best=float(final.min()),
        typical=float(np.median(final)),
        snap=snap,
    )


def _scaled(distribution: Distribution, values: np.ndarray) -> np.ndarray:
    """Values of a number as positions in [0, 1] of its range."""
    assert not isinstance(distribution, Choice)
    low, high = distribution.low, distribution.high
    if distribution.log:
        low, high, values = np.log(low), np.log(high), np.log(np.maximum(values, low))
    return (values - low) / (high - low)


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
