"""Trains one configuration in full and keeps what came of it in a folder."""

from __future__ import annotations

import json
import math
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo.data.load import load_data
from hpo.engine.compiler import Compiler
from hpo.engine.devices import describe, local_devices
from hpo.engine.lane import Lane
from hpo.engine.plan import choose_plan
from hpo.engine.pool import Pool, Report
from hpo.engine.program import split
from hpo.errors import HpoError
from hpo.spec.dump import dump_spec
from hpo.spec.experiment import Experiment
from hpo.study.provenance import Provenance, library_versions
from hpo.study.run import Surroundings
from hpo.study.signals import StopRequest

# What marks a folder as ours, to be replaced only by another one.
_METRICS_FILE = "metrics.json"
_SPEC_FILE = "spec.yaml"
_WEIGHTS_FOLDER = "weights"


@dataclass(frozen=True)
class Trained:
    """What a training came to: metrics by split (test is None without one), and how long."""

    metrics: Mapping[str, Mapping[str, float] | None]
    curve: tuple[Report, ...]
    seconds: float


class StoppedError(HpoError):
    """A training that a signal ended; `signal` is its number."""

    def __init__(self, epochs: int, folder: Path, signal: int) -> None:
        super().__init__(f"stopped after {epochs} epochs: {folder} was not written.")
        self.signal = signal


def train_to_folder(
    experiment: Experiment,
    folder: Path,
    around: Surroundings,
    watch: Callable[[Report], None],
    stop: StopRequest,
    replace: bool = False,
) -> Trained:
    """Train the configuration of a spec and write weights, spec and metrics into `folder`.

    `weights/` is an Orbax checkpoint of `{"params": ..., "statistics": ...}`. `watch` sees every
    epoch. The folder appears when the training is over; one that exists is replaced on demand only.

    Raises:
        StoppedError: once `stop` is set.
        HpoError: for a folder in the way, and for data or a model that do not fit.
    """
    _check_free(folder, replace)
    training, start = experiment.training, time.monotonic()
    _check_going(stop, 0, folder)
    device = local_devices(around.device)[0]
    data = load_data(training.data, experiment.folder, around.data_home)
    program, knobs = split(training, data, device.platform)
    pool = Pool(device, Compiler(around.cache))
    plan = choose_plan(device.platform, 1, trials=1, pools=1, is_learning=False)
    pool.load(program, plan, data)
    pool.put(0, 0, training, knobs, None, training.train.epochs)
    curve: list[Report] = []
    while pool.has_work:
        _check_going(stop, len(curve), folder)
        for report in pool.round():
            curve.append(report)
            watch(report)
    lane = pool.take(0)
    validation = {k: v for k, v in curve[-1].metrics.items() if k != "train_loss"}
    test = None if data.test is None else pool.evaluate(0, data.test)
    result = Trained(
        {"validation": validation, "test": test},
        tuple(curve),
        time.monotonic() - start,
    )
    provenance = Provenance(library_versions(), describe([device]), data.fingerprint)
    _write(folder, experiment, lane, result, provenance)
    return result


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
    folder: Path, experiment: Experiment, lane: Lane, result: Trained, provenance: Provenance
) -> None:
    """Fill a folder beside the final one and rename it, so that a half-written one never shows."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _save_weights(partial / _WEIGHTS_FOLDER, lane)
    (partial / _SPEC_FILE).write_text(dump_spec(experiment.document))
    document: dict[str, Any] = {
        "name": experiment.name,
        "metrics": {name: values and _plain(values) for name, values in result.metrics.items()},
        "epochs": len(result.curve),
        "seconds": round(result.seconds, 3),
        "curve": [{"epoch": report.epoch, **_plain(report.metrics)} for report in result.curve],
        "provenance": provenance.to_document(),
    }
    (partial / _METRICS_FILE).write_text(json.dumps(document, indent=2) + "\n")
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def _plain(metrics: Mapping[str, float]) -> dict[str, float | None]:
    # JSON has no NaN, which is what a diverged training comes to.
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _save_weights(path: Path, lane: Lane) -> None:
    import orbax.checkpoint as orbax  # takes most of a second, and only here

    with orbax.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.resolve(), {"params": lane.params, "statistics": lane.statistics})
