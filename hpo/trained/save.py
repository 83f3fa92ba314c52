"""Saves a trained model in a folder: weights, spec and metrics."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from hpo.errors import HpoError
from hpo.spec.code.own_code import code_sections
from hpo.spec.experiment import Experiment
from hpo.spec.file.dump import dump_spec
from hpo.spec.sections.compression.section import Compression
from hpo.spec.sections.compression.teacher import ENSEMBLE_FILE as ENSEMBLE_FILE

if TYPE_CHECKING:
    from hpo.engine.pools.occupant import EpochReport  # imports JAX

# A folder that holds this file is ours, and may be replaced by another trained model.
METRICS_FILE = "metrics.json"
WEIGHTS_FOLDER = "weights"
SPEC_FILE = "spec.yaml"
MODEL_FILE = "model.json"
CARD_FILE = "README.md"
# Those of an export, which other programs run.
ONNX_FILE, SCRIPT_FILE = "model.onnx", "predict.py"
CODE_FOLDER = "code"  # with the files of the user's own that the spec names
TRANSFORMS_FOLDER = "transforms"
MEMBERS_FOLDER = "members"  # with the folders of an ensemble's models
_NONE: Mapping[Any, Any] = {}

# The metrics of each split; None for a split that the data do not have.
SplitMetrics: TypeAlias = Mapping[str, Mapping[str, float] | None]


# A run of a training: its seed, or with folds the name of its files, such as `fold-3`.
RunKey: TypeAlias = int | str
# The arrays of each fitted transform, by the key of its run.
Transforms: TypeAlias = Mapping[RunKey, Mapping[str, Any]]


@dataclass(frozen=True)
class Trained:
    """The result of a training: metrics by split, the curve of the epochs, and the time it took.

    With several seeds or folds, metrics and curve are those that judge them together, `by_run`
    holds the metrics of each run by its key, and `deviations` their standard deviations. Of folds,
    the test metrics are those of the mean prediction. `refit_epochs` are those of a model that
    trained on all rows. `thresholds` are those that `train.threshold` chose, by the key of the run.
    `classes` are the names of the classes, in the order of the outputs. `temperature` is the one
    fitted on validation, None without, and `calibration` the `raw` and the `tempered` calibration
    error of each split.
    """

    metrics: SplitMetrics
    curve: tuple[EpochReport, ...]
    seconds: float
    by_run: Mapping[RunKey, SplitMetrics] = field(default_factory=dict)
    deviations: SplitMetrics = field(default_factory=dict)
    refit_epochs: int | None = None

    @property
    def has_folds(self) -> bool:
        """Whether its runs are on folds."""
        return any(isinstance(key, str) for key in self.by_run)

    thresholds: Mapping[RunKey, Sequence[float]] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    temperature: float | None = None
    calibration: SplitMetrics = field(default_factory=dict)


def check_free(folder: Path, replace: bool) -> None:
    """Refuse a folder that a trained model cannot or must not be written to.

    Raises:
        HpoError: for a link, a file or other files in its place, a place that cannot be written,
            and for a trained model without `replace`.
    """
    try:
        _check_place(folder)
        found = files_of(folder)
    except (OSError, ValueError) as error:  # the latter for a path without a name
        reason = getattr(error, "strerror", None) or "it has no name"
        raise HpoError(f"-o {folder}: cannot be used ({reason}): give another.") from None
    if not folder.exists() or not any(folder.iterdir()):
        return
    if METRICS_FILE not in found:
        raise HpoError(f"-o {folder}: holds other files: give a new or empty folder.")
    if not replace:
        raise HpoError(
            f"-o {folder}: holds a trained model: give another folder, or --force to replace it."
        )
    if others := _others(folder):
        raise HpoError(
            f"-o {folder}: holds {others[0]}, which hpo train did not write: move it, or give "
            "another folder."
        )


def _check_place(folder: Path) -> None:
    """Refuse what stands in the way of a folder, before anything is trained for it.

    Raises:
        HpoError: for a link, a file, or a place that cannot be written.
        OSError: for a name that the file system cannot hold, or a folder that cannot be entered.
    """
    for path in (folder, partial_of(folder)):
        with suppress(FileNotFoundError):
            if stat.S_ISLNK(path.lstat().st_mode):
                raise HpoError(f"-o {folder}: {path.name} is a link: give the folder itself.")
    above = folder.absolute()
    while not above.exists():
        above = above.parent
    if not above.is_dir():
        wrong = "is a file" if folder.exists() else f"{above} is a file"
        raise HpoError(f"-o {folder}: {wrong}: give a folder.")
    for path in (above, above.parent) if folder.exists() else (above,):
        if not os.access(path, os.W_OK | os.X_OK):
            raise HpoError(f"-o {folder}: {path} cannot be written: give another folder.")


def _named(folder: Path) -> Path:
    """A folder by its name, which `.` and `..` are not."""
    return folder.resolve() if folder.name in ("", "..") else folder


def hidden(folder: Path, ending: str) -> Path:
    """The hidden place beside a folder whose name ends so: `.model.partial`."""
    place = _named(folder)
    return place.with_name(f".{place.name}.{ending}")


def partial_of(folder: Path) -> Path:
    """Where a model lies while it is written."""
    return hidden(folder, "partial")


def files_of(folder: Path) -> list[str]:
    """The files and links below a folder, by their paths in it; links are not followed.

    Raises:
        OSError: for a folder below it that cannot be listed.
    """
    found = (path for path in _below(folder) if path.is_symlink() or not path.is_dir())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _below(folder: Path) -> Iterator[Path]:
    """All that lies below a folder, what a folder holds before the folder itself."""

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    for place, folders, files in os.walk(folder, topdown=False, onerror=refuse):
        yield from (Path(place, name) for name in (*files, *folders))


def _others(folder: Path) -> list[str]:
    """The files in a folder that `hpo train` did not write.

    It wrote those that `metrics.json` lists. Earlier versions listed none: then all that lies in
    `weights` counts as written.
    """
    files, metrics = files_of(folder), folder / METRICS_FILE
    if not metrics.is_file():  # reading a pipe would wait for somebody to write
        return files
    try:
        document = json.loads(metrics.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return files
    in_weights = [name for name in files if name.startswith(f"{WEIGHTS_FOLDER}/")]
    earlier = [SPEC_FILE, *in_weights]
    listed = document.get("files", earlier) if isinstance(document, dict) else None
    if not isinstance(listed, list):
        return files
    return [name for name in files if name not in (METRICS_FILE, *listed)]


def _remove_model(folder: Path) -> None:
    """Delete a folder in which only files of a trained model lie."""
    for name in files_of(folder):
        (folder / name).unlink()
    for path in _below(folder):
        path.rmdir()
    folder.rmdir()


def save_trained(
    folder: Path,
    experiment: Experiment,
    weights: Mapping[RunKey, Mapping[str, Any]],
    trained: Trained,
    provenance: Mapping[str, Any],
    transforms: Transforms = _NONE,
    texts: Mapping[str, str] = _NONE,
) -> None:
    """Write weights, spec and metrics into `folder`, in place of the model that it holds.

    `weights/` is an Orbax checkpoint of `{"params": ..., "variables": ...}`, or the same packed by
    `compression`. With several seeds or
    folds, it holds one for each: `weights/seed-0/`, `weights/fold-3/`, ... `transforms/all.npz`
    holds the arrays of the fit that makes the features; folds have their own, such as
    `transforms/fold-3.npz`. `code/` holds the files of the user's own that the spec names, and
    `texts` are further files by their names.

    The folder is written under another name and then renamed, so that nobody reads a half-written
    one. `metrics.json` lists the other files: these alone are deleted when another model replaces
    it.

    Raises:
        HpoError: if the model cannot be written; no part of it is then left behind.
    """
    folder, partial = _named(folder), partial_of(folder)
    try:
        _write(partial, experiment, weights, trained, provenance, transforms, texts)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise HpoError(
            f"-o {folder}: the model cannot be written ({error.strerror}): free some space, or "
            "give another folder."
        ) from None
    put_in_place(partial, folder)


def put_in_place(partial: Path, folder: Path) -> None:
    """Give the folder of a model its name, in place of the model that lies there.

    Raises:
        HpoError: for files that hpo did not write.
    """
    if folder.exists():
        if others := _others(folder):
            raise HpoError(
                f"-o {folder}: {others[0]} was put there during the training: the model is in "
                f"{partial}."
            )
        try:
            _remove_model(folder)
        except OSError as error:
            raise HpoError(
                f"-o {folder}: the model that it holds cannot be deleted ({error.strerror}): the "
                f"new one is in {partial}."
            ) from None
    partial.rename(folder)


def _write(
    partial: Path,
    experiment: Experiment,
    weights: Mapping[RunKey, Mapping[str, Any]],
    trained: Trained,
    provenance: Mapping[str, Any],
    transforms: Transforms,
    texts: Mapping[str, str],
) -> None:
    """Write the files of a model into an empty folder.

    Raises:
        OSError: if one cannot be written.
    """
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    target = partial / WEIGHTS_FOLDER
    for key, own in weights.items():
        place = target if len(weights) == 1 else target / file_name(key)
        _save_weights(place, own, experiment)
    import numpy as np  # which `import hpo` does not wait for

    for key, arrays in transforms.items():
        (partial / TRANSFORMS_FOLDER).mkdir(exist_ok=True)
        np.savez(partial / TRANSFORMS_FOLDER / f"{file_name(key)}.npz", **arrays)
    _copy_code(partial / CODE_FOLDER, experiment)
    (partial / SPEC_FILE).write_text(dump_spec(experiment.document))
    for name, text in texts.items():
        (partial / name).write_text(text, encoding="utf-8")
    document: dict[str, Any] = {
        "name": experiment.name,
        "metrics": plain_splits(trained.metrics),
        "epochs": len(trained.curve),
        "seconds": round(trained.seconds, 3),
        "curve": [
            {"epoch": report.epoch, **plain_metrics(report.metrics)} for report in trained.curve
        ],
        "provenance": provenance,
    }
    if len(trained.by_run) > 1:
        document["deviations"] = plain_splits(trained.deviations)
        document["folds" if trained.has_folds else "seeds"] = {
            key: plain_splits(own) for key, own in trained.by_run.items()
        }
    if trained.refit_epochs is not None:
        document["refit_epochs"] = trained.refit_epochs
    if trained.thresholds:
        document["thresholds"] = {str(key): [*own] for key, own in trained.thresholds.items()}
    if trained.temperature is not None:
        document["temperature"] = trained.temperature
        document["calibration_error"] = plain_splits(trained.calibration)
    if trained.classes:
        document["classes"] = list(trained.classes)
    document["files"] = files_of(partial)
    (partial / METRICS_FILE).write_text(json.dumps(document, indent=2) + "\n")


def _copy_code(folder: Path, experiment: Experiment) -> None:
    """Copy the files of the user's own that a spec names below its folder, for other machines."""
    for _, section in code_sections(experiment.training):
        code = section.own.code
        if code is None or not code.file.resolve().is_relative_to(experiment.folder.resolve()):
            continue
        file = folder / code.file.resolve().relative_to(experiment.folder.resolve())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code.source(), encoding="utf-8", newline="")


def file_name(key: RunKey) -> str:
    """The name of the files of a run."""
    return f"seed-{key}" if isinstance(key, int) else key


def plain_metrics(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Metrics as JSON has them, which has no NaN: those of a diverged training are null."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def plain_splits(metrics: SplitMetrics) -> dict[str, dict[str, float | None] | None]:
    return {
        name: None if values is None else plain_metrics(values) for name, values in metrics.items()
    }


def _save_weights(path: Path, weights: Mapping[str, Any], experiment: Experiment) -> None:
    compression = getattr(experiment.training, "compression", None)
    if isinstance(compression, Compression) and compression.packs:
        from hpo.trained.packed import write_packed  # imports NumPy

        write_packed(path, weights, compression)
        return
    try:
        with checkpoints() as checkpointer:
            checkpointer.save(path.resolve(), dict(weights))
    except ValueError as error:  # so TensorStore raises the errors of files
        if (found := re.search(r"os_error_code='(\d+)'", str(error))) is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1]))) from None


@contextmanager
def checkpoints() -> Iterator[Any]:
    """Orbax's reader and writer of checkpoints, which does not print the errors that it raises."""
    import orbax.checkpoint as orbax  # takes most of a second, and only here

    log = logging.getLogger("absl")

    # Each reader has a filter of its own, so that threads restore nothing of one another.
    def is_critical(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.CRITICAL

    log.addFilter(is_critical)
    try:
        with orbax.StandardCheckpointer() as checkpointer:
            yield checkpointer
    finally:
        log.removeFilter(is_critical)
