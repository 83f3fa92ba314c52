"""The tasks in `examples/own_task` as lanes of `hpo`, beside loops that their author would write.

For each task and form, a pool of `hpo` and the author's own `jit` of a `vmap` or a `lax.map` train
the same lanes on one device, in turns. It prints the best epochs per second of both and the ratio.
`--trials` also times whole searches: `hpo search` from the start of its process, beside an Optuna
loop that compiles each trial. Prints JSON.

    .venv/bin/python -m benchmarks.own_tasks --seconds 10 --trials 20
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optuna
from jax import lax

from hpo.data.cache import DataCache
from hpo.data.dataset import DataSet
from hpo.engine.devices import local_devices
from hpo.engine.pools.pool import Pool
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.task_program import split_task
from hpo.spec.code.own_task import said_by
from hpo.spec.code.running import run_code
from hpo.spec.experiment import Experiment
from hpo.spec.fill import fill
from hpo.spec.load import load_experiment
from hpo.study.backends.datasets import DataSets
from hpo.study.backends.tasks import data_of
from hpo.trial import Run

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "own_task"
MAPS: dict[str, Callable[..., Any]] = {
    "map": lambda function, *args: lax.map(lambda each: function(*each), args),
    "vmap": lambda function, *args: jax.vmap(function)(*args),
}


def pool_of(experiment: Experiment, data: DataSet, form: Any, lanes: int) -> Pool:
    """A pool of `hpo` with a trial of the space in each lane."""
    pool, rng = Pool(local_devices(None)[0], Compiler()), np.random.default_rng(0)
    for lane in range(lanes):
        training: Any = fill(experiment.training, experiment.space.draw(rng), lane)
        program, knobs = split_task(training, data, pool.place.platform)  # type: ignore[union-attr]
        if lane == 0:
            pool.load(program, Plans(Plan(form, lanes)), data)
        pool.put(lane, Run(lane), training, knobs, None, 10**6)
    return pool


class Author:
    """The loop of the task's author: an epoch of all lanes in one compiled call."""

    def __init__(self, experiment: Experiment, data: DataSet, form: str, lanes: int) -> None:
        self.training: Any = experiment.training
        own = self.training.task.own
        self.program, _ = split_task(self.training, data, jax.default_backend())
        self.task = run_code(own.code)(**self.program.arguments)
        self.train = jax.device_put(dict(data.train.arrays))
        self.rows = jax.device_put(dict(data.validation.arrays))
        knobs = {name: jnp.full(lanes, value) for name, value in said_by(own).knobs}
        keys = jax.random.split(jax.random.key(0), lanes)
        states = jax.vmap(self.task.init)(knobs, keys)
        self.now = states, knobs, keys
        self.epoch_of_lanes = jax.jit(
            lambda order, *args: MAPS[form](lambda *lane: self.epoch(order, *lane), *args),
            donate_argnums=1,
        )

    def epoch(self, order: Any, state: Any, knobs: Any, key: Any) -> Any:
        """A lane after an epoch, and its metrics."""

        def step(i: Any, state: Any) -> Any:
            batch = {n: a[order[i]] for n, a in self.train.items()} if self.program.rows else None
            return self.task.step(state, knobs, jax.random.fold_in(key, i), batch)

        state = lax.fori_loop(0, self.program.steps, step, state)
        rows = [self.rows] if self.program.rows else []
        return state, self.task.evaluate(state, knobs, key, *rows)

    def order(self, epoch: int) -> Any:
        """The rows of each step of an epoch."""
        steps, rows = self.program.order_shape
        if not rows:
            return None
        drawn = np.random.default_rng(epoch).permutation(self.program.train_rows)
        return np.resize(drawn, (steps, rows))

    def run(self, epoch: int) -> None:
        """Train all lanes for an epoch."""
        states, knobs, keys = self.now
        states, metrics = self.epoch_of_lanes(self.order(epoch), states, knobs, keys)
        jax.device_get(metrics)
        self.now = states, knobs, keys


def compare(experiment: Experiment, form: str, lanes: int, seconds: float) -> dict[str, Any]:
    """Epochs per second of `hpo` and of the author's loop, in turns of a tenth of the time."""
    data = data_of(
        experiment.training,  # type: ignore[arg-type]
        DataSets(experiment.folder, None, DataCache(None)),
    )
    pool, author = pool_of(experiment, data, form, lanes), Author(experiment, data, form, lanes)
    best, epoch = {"hpo": 0.0, "author": 0.0}, 0
    for turn in range(11):
        before, start = pool.epochs_trained, time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds / 20 or turn == 0:
            pool.round()
            if turn == 0:
                break
        if turn:
            best["hpo"] = max(best["hpo"], (pool.epochs_trained - before) / spent)
        first, start = epoch, time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds / 20 or turn == 0:
            author.run(epoch)
            epoch += 1
            if turn == 0:
                break
        if turn:
            best["author"] = max(best["author"], lanes * (epoch - first) / spent)
    return {"form": form, "lanes": lanes, **best, "ratio": best["hpo"] / best["author"]}


def whole_searches(name: str, experiment: Experiment, trials: int) -> dict[str, float]:
    """Trials per second of `hpo search`, and of an Optuna loop that compiles each trial."""
    with tempfile.TemporaryDirectory() as folder:
        options = [f"search.trials={trials}", "search.sampler.name=random"]
        options += ["search.scheduler.name=none", "train.seed=1"]
        words = ["search", str(EXAMPLES / f"{name}.yaml"), "-q", "--storage"]
        words += [f"sqlite:///{folder}/hpo.db", *(w for o in options for w in ("--set", o))]
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "hpo", *words], check=True, capture_output=True)
        ours = trials / (time.perf_counter() - start)

    data = data_of(
        experiment.training,  # type: ignore[arg-type]
        DataSets(experiment.folder, None, DataCache(None)),
    )
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: Any) -> float:
        author = Author(experiment, data, "vmap", 1)
        states, knobs, keys = author.now
        for dimension in experiment.space.dimensions:
            found: Any = dimension.distribution
            short = dimension.path.rpartition(".")[2]
            knobs[short] = jnp.full(1, trial.suggest_float(short, found.low, found.high))
        # Numbers of a trial are constants of its own program, as in a loop without lanes.
        step = jax.jit(lambda order, states: author.epoch_of_lanes(order, states, knobs, keys))
        for epoch in range(experiment.training.train.epochs):
            states, metrics = step(author.order(epoch), states)
        return float(jax.device_get(metrics[next(iter(metrics))])[0])

    few = max(2, trials // 10)
    start = time.perf_counter()
    optuna.create_study().optimize(objective, n_trials=few)
    theirs = few / (time.perf_counter() - start)
    return {"hpo": ours, "optuna": theirs, "ratio": ours / theirs}


def main() -> None:
    """Compare, and print what was found."""
    names = sorted(path.stem for path in EXAMPLES.glob("*.yaml"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=names, choices=names)
    parser.add_argument("--forms", nargs="+", default=["map", "vmap"], choices=[*MAPS])
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each figure")
    parser.add_argument("--trials", type=int, default=0, help="of whole searches; 0 for none")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.tasks:
        experiment = load_experiment(EXAMPLES / f"{name}.yaml")
        for form in arguments.forms:
            found = compare(experiment, form, arguments.lanes, arguments.seconds)
            rows.append({"task": name, **found})
        if arguments.trials:
            found = whole_searches(name, experiment, arguments.trials)
            rows.append({"task": name, "trials": arguments.trials, **found})
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
