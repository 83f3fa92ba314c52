"""Saves a trained model in a folder: weights, spec and metrics."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from hpo.errors import HpoError
from hpo.spec.experiment import Experiment
from hpo.spec.file.dump import dump_spec

if TYPE_CHECKING:
    from hpo.engine.pools.occupant import EpochReport  # imports JAX

# A folder that holds this file is ours, and may be replaced by another trained model.
METRICS_FILE = "metrics.json"
_SPEC_FILE = "spec.yaml"
_WEIGHTS_FOLDER = "weights"

# The metrics of each split; None for a split that the data do not have.
SplitMetrics: TypeAlias = Mapping[str, Mapping[str, float] | None]


@dataclass(frozen=True)
class Trained:
    """The result of a training: metrics by split, the curve of the epochs, and the time it took.

    With several seeds, metrics and curve are means, `by_seed` holds the metrics of each seed, and
    `deviations` their standard deviations.
    """

    metrics: SplitMetrics
    curve: tuple[EpochReport, ...]
    seconds: float
    by_seed: Mapping[int, SplitMetrics] = field(default_factory=dict)
    deviations: SplitMetrics = field(default_factory=dict)


def check_free(folder: Path, replace: bool) -> None:
    """Refuse a folder that a trained model must not be written to.

    Raises:
        HpoError: for a file or other files in its place, and for a trained model without `replace`.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise HpoError(f"-o {folder}: is a file: give a folder.")
    if not any(folder.iterdir()):
        return
    if not (folder / METRICS_FILE).is_file():
        raise HpoError(f"-o {folder}: holds other files: give a new or empty folder.")
    if not replace:
        raise HpoError(
            f"-o {folder}: holds a trained model: give another folder, or --force to replace it."
        )


def save_trained(
    folder: Path,
    experiment: Experiment,
    weights: Mapping[int, Mapping[str, Any]],
    trained: Trained,
    provenance: Mapping[str, Any],
) -> None:
    """Write weights, spec and metrics into `folder`, in place of the model that it holds.

    `weights/` is an Orbax checkpoint of `{"params": ..., "variables": ...}`. With several seeds,
    it holds one for each: `weights/seed-0/`, ... The folder is written under another name and
    then renamed, so that nobody reads a half-written one.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    target = partial / _WEIGHTS_FOLDER
    for seed, own in weights.items():
        _save_weights(target if len(weights) == 1 else target / f"seed-{seed}", own)
    (partial / _SPEC_FILE).write_text(dump_spec(experiment.document))
    document: dict[str, Any] = {
        "name": experiment.name,
        "metrics": _plain_splits(trained.metrics),
        "epochs": len(trained.curve),
        "seconds": round(trained.seconds, 3),
        "curve": [{"epoch": report.epoch, **_plain(report.metrics)} for report in trained.curve],
        "provenance": provenance,
    }
    if len(weights) > 1:
        document["deviations"] = _plain_splits(trained.deviations)
        document["seeds"] = {seed: _plain_splits(own) for seed, own in trained.by_seed.items()}
    (partial / METRICS_FILE).write_text(json.dumps(document, indent=2) + "\n")
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def _plain_splits(metrics: SplitMetrics) -> dict[str, dict[str, float | None] | None]:
    return {name: None if values is None else _plain(values) for name, values in metrics.items()}


def _plain(metrics: Mapping[str, float]) -> dict[str, float | None]:
    # JSON has no NaN, which the metrics of a diverged training are.
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _save_weights(path: Path, weights: Mapping[str, Any]) -> None:
    import orbax.checkpoint as orbax  # takes most of a second, and only here

    with orbax.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.resolve(), dict(weights))
