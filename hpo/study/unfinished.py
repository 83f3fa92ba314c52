"""What a stopped training goes on from: one hidden file beside the folder of its model.

The file is in the safetensors format. It holds arrays and a JSON text, is complete or absent, and
is deleted once the model is saved.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from hpo.engine.pools.occupant import EpochReport
from hpo.errors import HpoError
from hpo.spec.experiment import Experiment
from hpo.spec.roots import with_precision
from hpo.spec.sections.goal import Objective
from hpo.spec.words import count_text
from hpo.study.backends.precision import AUTO
from hpo.study.storage.provenance import Provenance, spec_changes
from hpo.study.storage.safetensors import decoded, encoded, write_whole
from hpo.trained.save import hidden
from hpo.trial import Run

if TYPE_CHECKING:
    from hpo.study.kept.files import Kept  # imports the database, which hpo train needs not

_LOG = logging.getLogger(__name__)

# The array that holds the JSON text, among those of the runs.
_TEXT = "training"
_MOST_TOLD = 5  # differences in a message
# A checkpoint takes at most about this share of the time.
_SHARE = 0.1
# The name of the model of all rows among the runs: `--refit`.
REFIT = "refit"

# The state of a run, as named arrays.
Arrays: TypeAlias = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Point:
    """Where a training is: the curve and the state of each run, by its key, and more.

    `kept` is the epoch up to which the runs train again, once a rule has chosen it. `lanes` is how
    many train together; 0 leaves it open. `seconds` is how long the training took so far. `trial`
    is the one that a search has trained and kept, if the runs are its.
    """

    curves: Mapping[str, list[EpochReport]]
    states: Mapping[str, Arrays]
    kept: int | None
    lanes: int
    seconds: float
    precision: str
    trial: int | None = None

    @classmethod
    def of_kept(cls, kept: Kept) -> Point:
        """The end of a trial that a search has kept."""
        curves = {
            key: [
                EpochReport(_run(key), epoch, dict(metrics))
                for epoch, metrics in enumerate(reports, start=1)
            ]
            for key, reports in kept.curves.items()
        }
        return cls(curves, kept.states, None, 0, 0.0, kept.precision, kept.trial)

    def settled(self, experiment: Experiment) -> Experiment:
        """An experiment in the precision that `auto` chose when the training began."""
        if experiment.training.train.precision != AUTO:
            return experiment
        return with_precision(experiment, self.precision)


def about_training(
    experiment: Experiment, objective: Objective, provenance: Provenance, *, is_refit: bool
) -> dict[str, Any]:
    """All that the bits of a training depend on, as plain values."""
    return {
        **experiment.training.model_dump(mode="json"),
        "objective": str(objective),
        "refit": is_refit,
        **provenance.to_document(),
    }


def going_on_text(done: int, epochs: int) -> str:
    """Says at which epoch a training goes on."""
    where = f"at epoch {done + 1}" if done < epochs else f"after epoch {done}"
    return f"Goes on {where} of {epochs}, where the training was stopped."


def taken_text(trial: int) -> str:
    """Says that a trial is not trained again."""
    return f"Uses the weights that the search kept for trial {trial}; it is not trained again."


def stopped_text(done: int, folder: Path, *, is_kept: bool) -> str:
    """Says where a training has stopped."""
    cure = "; the same command goes on from there" if is_kept else ""
    return f"stopped after {count_text(done, 'epoch')}: {folder} was not written{cure}."


class Checkpoint:
    """The file of a training into a folder; `about` says what its bits depend on."""

    def __init__(self, folder: Path, about: Mapping[str, Any], every_seconds: float) -> None:
        self.file = hidden(folder, "checkpoint.safetensors")
        self._every, self._due = every_seconds, time.monotonic() + every_seconds
        self._about = about
        self._has_failed = False

    def read(self, *, starts_over: bool) -> Point | None:
        """Where the training stopped; None for one that begins.

        Raises:
            HpoError: for a training that is about other things, unless it `starts_over`.
        """
        try:
            descriptor = os.open(self.file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from None
        try:
            with os.fdopen(descriptor, "rb") as file:
                arrays = decoded(bytearray(file.read()))
            document = json.loads(arrays.pop(_TEXT).tobytes())
            differs = _differences(document["about"], self._about)
            point = _point(document, arrays)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as e:
            if starts_over:
                return None
            raise self._unreadable(" ".join(str(e).split()) or type(e).__name__) from None
        if differs and not starts_over:
            more = f"; and {len(differs) - _MOST_TOLD:,} more" if differs[_MOST_TOLD:] else ""
            raise HpoError(
                f"{self.file}: holds a training that was stopped, of something else: put back what "
                f"differs, or start over with --force: {'; '.join(differs[:_MOST_TOLD])}{more}."
            )
        return None if differs else point

    def keep(self, point: Callable[[], Point], *, now: bool) -> bool:
        """Write where the training is, `now` or if it is time to; whether it is on disk.

        A full disk does not stop the training.
        """
        start = time.monotonic()
        if not now and start < self._due:
            return False
        found = point()
        text = json.dumps({"about": self._about, **_document(found)}).encode()
        arrays = {
            f"{key}/{name}": np.asarray(leaf)
            for key, state in found.states.items()
            for name, leaf in state.items()
        }
        chunks = encoded({_TEXT: np.frombuffer(text, np.uint8), **arrays})
        try:
            self._write(chunks)
        except OSError as error:
            if not self._has_failed:
                _LOG.warning(
                    "cannot write %s: %s; the training goes on without.",
                    self.file,
                    error.strerror or error,
                )
            self._has_failed = True
        end = time.monotonic()
        self._due = end + max(self._every, (end - start) / _SHARE)
        return not self._has_failed

    def _write(self, chunks: list[bytes]) -> None:
        place = self.file.absolute().parent
        place.mkdir(parents=True, exist_ok=True)
        folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            write_whole(f"{self.file.name}.tmp", self.file.name, chunks, folder)
        finally:
            os.close(folder)

    def delete(self) -> None:
        """Delete the file: the model is saved."""
        for file in (self.file, self.file.with_name(f"{self.file.name}.tmp")):
            with suppress(OSError):
                file.unlink()

    def _unreadable(self, why: str) -> HpoError:
        return HpoError(
            f"{self.file}: cannot be read ({why:.200}): delete it, or start over with --force."
        )


def _document(point: Point) -> dict[str, Any]:
    return {
        "curves": {
            key: [
                [{name: float(value) for name, value in part.items()} for part in parts]
                for one in reports
                for parts in [(one.metrics, one.costs)]
            ]
            for key, reports in point.curves.items()
        },
        "kept": point.kept,
        "lanes": point.lanes,
        "seconds": point.seconds,
        "precision": point.precision,
    }


def _point(document: Mapping[str, Any], arrays: Arrays) -> Point:
    states: dict[str, dict[str, np.ndarray]] = {}
    for path, leaf in arrays.items():
        key, name = path.split("/", 1)
        states.setdefault(key, {})[name] = leaf
    curves = {
        key: [
            EpochReport(_run(key), epoch, dict(metrics), dict(costs))
            for epoch, (metrics, costs) in enumerate(reports, start=1)
        ]
        for key, reports in document["curves"].items()
    }
    kept, lanes = document["kept"], int(document["lanes"])
    return Point(curves, states, kept, lanes, document["seconds"], document["precision"])


def _run(key: str) -> Run:
    return Run(0) if key == REFIT else Run.parse(key)


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A line for each thing that changes results and differs: `path: then -> now`."""
    _, refused = spec_changes(then, json.loads(json.dumps(now)))
    return refused
