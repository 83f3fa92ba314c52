"""Trains one configuration in full and keeps what came of it in a folder."""

from __future__ import annotations

import json
import math
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import jax
import numpy as np

from hpo.data.cache import DataCache
from hpo.data.dataset import DataSet
from hpo.data.load import load_data
from hpo.engine.devices import describe, local_devices
from hpo.engine.pools.occupant import Changes, Report
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.executables import use_jax_cache
from hpo.engine.programs.memory import is_exhausted
from hpo.engine.programs.plans import Plan, Plans, choose_plans
from hpo.engine.training.supervised import own_weights
from hpo.errors import HpoError
from hpo.spec.changes import changing, stages
from hpo.spec.experiment import Experiment, Training
from hpo.spec.file.dump import dump_spec
from hpo.spec.words import count_text
from hpo.study.loop.replicas import deviation_of, mean_of, replica_training
from hpo.study.signals import StopRequest
from hpo.study.storage.provenance import Provenance, library_versions
from hpo.study.surroundings import Surroundings

# What marks a folder as ours, to be replaced only by another one.
_METRICS_FILE = "metrics.json"
_SPEC_FILE = "spec.yaml"
_WEIGHTS_FOLDER = "weights"


# The metrics of each split; None for one that there is not.
SplitMetrics: TypeAlias = Mapping[str, Mapping[str, float] | None]


@dataclass(frozen=True)
class Trained:
    """What a training came to: metrics by split (test is None without one), and how long.

    With several seeds, metrics and curve are means, and `by_seed` holds the metrics of each.
    """

    metrics: SplitMetrics
    curve: tuple[Report, ...]
    seconds: float
    by_seed: Mapping[int, SplitMetrics] = field(default_factory=dict)

    @property
    def deviations(self) -> SplitMetrics:
        """The standard deviation among the seeds; nothing with one."""
        seeds = list(self.by_seed.values())
        return _over_seeds(deviation_of, seeds) if len(seeds) > 1 else {}


class StoppedError(HpoError):
    """A training that a signal ended; `signal` is its number."""

    def __init__(self, epochs: int, folder: Path, signal: int) -> None:
        super().__init__(f"stopped after {count_text(epochs, 'epoch')}: {folder} was not written.")
        self.signal = signal


def train_to_folder(
    experiment: Experiment,
    folder: Path,
    around: Surroundings,
    watch: Callable[[Report], None],
    say: Callable[[str], None],
    stop: StopRequest,
    replace: bool = False,
) -> Trained:
    """Train the configuration of a spec and write weights, spec and metrics into `folder`.

    `weights/` is an Orbax checkpoint of `{"params": ..., "variables": ...}`, with several seeds a
    folder of them: `weights/seed-0/`, ... `watch` sees every epoch, `say` gets what a user should
    know. The folder appears when the training is over; one that exists is replaced on demand only.

    Raises:
        StoppedError: once `stop` is set.
        HpoError: for a folder in the way, and for data or a model that do not fit.
        DeviceError: where a single lane is too much for the memory.
    """
    _check_free(folder, replace)
    training, start = experiment.training, time.monotonic()
    _check_going(stop, 0, folder)
    device = local_devices(around.device)[0]
    use_jax_cache(around.cache)
    cache = DataCache(around.data_cache)
    data = load_data(training.data, experiment.folder, around.data_home, cache)
    varying = changing(training)
    program, knobs = split(training, data, device.platform, varying)
    changes = tuple(
        (after, split(changed, data, device.platform, varying)[1])
        for after, changed in stages(training)
    )
    seeds = training.train.seeds
    pool = Pool(device, Compiler(around.cache))
    runs = _Runs(training, knobs, changes, data)
    plan = pool.load(program, Plans(_plan_of(training, device.platform)), data)
    if plan.lanes < _plan_of(training, device.platform).lanes:
        say(_fewer(plan))
    shown = 0
    while runs.waiting:
        try:
            runs.enter(pool)
            while pool.has_work:
                _check_going(stop, shown, folder)
                runs.note(pool.round())
                for report in runs.curve()[shown:]:
                    watch(report)
                    shown = report.epoch
            runs.leave(pool)
        except jax.errors.JaxRuntimeError as error:
            if not is_exhausted(error):
                raise
            say(_fewer(pool.halve()))
            runs.start_over()
    by_seed: dict[int, SplitMetrics] = {
        replica_training(training, replica).train.seed: {
            "validation": {
                k: v for k, v in runs.curves[replica][-1].metrics.items() if k != "train_loss"
            },
            "test": runs.tested[replica],
        }
        for replica in range(seeds)
    }
    result = Trained(
        _over_seeds(mean_of, list(by_seed.values())),
        tuple(runs.curve()),
        time.monotonic() - start,
        by_seed,
    )
    provenance = Provenance(library_versions(), describe([device]), data.fingerprint)
    weights = [runs.weights[replica] for replica in range(seeds)]
    _write(folder, experiment, weights, result, provenance)
    return result


class _Runs:
    """The runs of a training, one for each seed: what they report and what they come to."""

    def __init__(
        self, training: Training, knobs: np.ndarray, changes: Changes, data: DataSet
    ) -> None:
        self.curves: list[list[Report]] = [[] for _ in range(training.train.seeds)]
        self.weights: dict[int, Mapping[str, Any]] = {}
        self.tested: dict[int, Mapping[str, float] | None] = {}
        self._training, self._knobs, self._changes = training, knobs, changes
        self._data = data

    @property
    def waiting(self) -> list[int]:
        """The runs that have not come to an end."""
        return [n for n in range(len(self.curves)) if n not in self.weights]

    def enter(self, pool: Pool) -> None:
        """Put as many runs as there are lanes into a pool, which is empty."""
        for index, run in zip(range(pool.lane_count), self.waiting, strict=False):
            own, epochs = replica_training(self._training, run), self._training.train.epochs
            pool.put(index, run, own, self._knobs, None, epochs, self._changes)

    def note(self, reports: Sequence[Report]) -> None:
        """Keep what a round has reported."""
        for report in reports:
            self.curves[report.trial].append(report)

    def leave(self, pool: Pool) -> None:
        """Take the runs, which are over, out of a pool."""
        for index in pool.occupied():
            run, _, _ = pool.occupant(index)
            params, variables = own_weights(pool.program, self._training, pool.take(index))
            test = self._data.test
            self.tested[run] = None if test is None else pool.evaluate(index, test)
            self.weights[run] = {"params": params, "variables": variables}
            pool.clear(index)

    def start_over(self) -> None:
        """The lanes are lost, and with them all runs that have not come to an end."""
        for run in self.waiting:
            self.curves[run].clear()

    def curve(self) -> list[Report]:
        """The mean of all runs, epoch by epoch, as far as each of them is."""
        return [
            Report(0, epoch, mean_of([report.metrics for report in reports]))
            for epoch, reports in enumerate(zip(*self.curves, strict=False), start=1)
        ]


def _plan_of(training: Training, platform: str) -> Plan:
    """How the seeds train: as is written, or else as is usual.

    A plan that was measured once on this machine is none to choose from: bits turn on the form.
    """
    seeds, form, lanes = training.train.seeds, training.train.form, training.train.lanes
    if form == "auto" or lanes == "auto":
        lanes = seeds
    # A form that is given has its lanes too, for bits turn on how many of them train at once.
    return choose_plans(platform, lanes, seeds, 1, is_learning=False, form=form).usual


def _fewer(plan: Plan) -> str:
    count = f"{plan.lanes} lane{'' if plan.lanes == 1 else 's'}"
    bits = ", so the last bits may differ from those of its study" if plan.form == "vmap" else ""
    return f"The memory has run out: training goes on with {count}{bits}."


def _over_seeds(
    summary: Callable[[Sequence[Mapping[str, float]]], dict[str, float]],
    by_seed: Sequence[SplitMetrics],
) -> SplitMetrics:
    """The metrics of each split, put together from those of every seed."""
    found: dict[str, Mapping[str, float] | None] = {}
    for name in by_seed[0]:
        reports = [report for metrics in by_seed if (report := metrics[name]) is not None]
        found[name] = summary(reports) if reports else None
    return found


def _check_going(stop: StopRequest, epochs: int, folder: Path) -> None:
    if stop.is_set():
        raise StoppedError(epochs, folder, stop.signal or signal.SIGINT)


def _check_free(folder: Path, replace: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise HpoError(f"-o {folder}: is a file: give a folder.")
    if not any(folder.iterdir()):
        return
    if not (folder / _METRICS_FILE).is_file():
        raise HpoError(f"-o {folder}: holds other files: give a new or empty folder.")
    if not replace:
        raise HpoError(
            f"-o {folder}: holds a trained model: give another folder, or --force to replace it."
        )


def _write(
    folder: Path,
    experiment: Experiment,
    weights: Sequence[Mapping[str, Any]],
    result: Trained,
    provenance: Provenance,
) -> None:
    """Fill a folder beside the final one and rename it, so that a half-written one never shows."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    target = partial / _WEIGHTS_FOLDER
    for seed, own in zip(result.by_seed, weights, strict=True):
        _save_weights(target if len(weights) == 1 else target / f"seed-{seed}", own)
    (partial / _SPEC_FILE).write_text(dump_spec(experiment.document))
    document: dict[str, Any] = {
        "name": experiment.name,
        "metrics": _plain_splits(result.metrics),
        "epochs": len(result.curve),
        "seconds": round(result.seconds, 3),
        "curve": [{"epoch": report.epoch, **_plain(report.metrics)} for report in result.curve],
        "provenance": provenance.to_document(),
    }
    if len(weights) > 1:
        document["deviations"] = _plain_splits(result.deviations)
        document["seeds"] = {seed: _plain_splits(found) for seed, found in result.by_seed.items()}
    (partial / _METRICS_FILE).write_text(json.dumps(document, indent=2) + "\n")
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def _plain_splits(metrics: SplitMetrics) -> dict[str, dict[str, float | None] | None]:
    return {name: None if values is None else _plain(values) for name, values in metrics.items()}


def _plain(metrics: Mapping[str, float]) -> dict[str, float | None]:
    # JSON has no NaN, which is what a diverged training comes to.
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _save_weights(path: Path, weights: Mapping[str, Any]) -> None:
    import orbax.checkpoint as orbax  # takes most of a second, and only here

    with orbax.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.resolve(), dict(weights))
