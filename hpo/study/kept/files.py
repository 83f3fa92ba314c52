"""Files of the weights that a search keeps: `<database>.weights/<study>`, a file for each trial.

A file holds the state in which each run of the trial ended, and the metrics of its epochs. Once the
search is over, it also holds what the trial predicts for the validation rows. It is a cache: a
trial without one trains again, to the same results.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hpo.errors import HpoError
from hpo.study.storage.checkpoints import CheckpointFolder
from hpo.study.storage.database import database_path, parsed_url, shown
from hpo.trial import Run

# The arrays that hold the JSON text and the predictions, among those of the runs.
_TEXT, _PREDICTIONS = "trial", "predictions"
_KEY = "search.keep_weights"


class Kept(NamedTuple):
    """The end of a trial: the metrics that judge it and, by run, the curves and last states.

    The keys are those of the runs of a trial 0, as `hpo train` has them. `predictions` are those
    for the validation rows, `[N, K]`: see `mean_on_validation`.
    """

    trial: int
    metrics: Sequence[Mapping[str, float]]
    curves: Mapping[str, Sequence[Mapping[str, float]]]
    states: Mapping[str, Mapping[str, np.ndarray]]
    precision: str
    provenance: Mapping[str, Any]
    predictions: np.ndarray | None = None

    def is_of(self, metrics: Sequence[Mapping[str, float]]) -> bool:
        """Whether a trial has these metrics: another study may have taken the name of its own."""
        return _text(self.metrics) == _text(metrics)


class KeptTrial(NamedTuple):
    """Where the weights of a trial may be, and the metrics that the study has of it."""

    storage: str
    study: str
    trial: int
    metrics: Sequence[Mapping[str, float]]

    def read(self) -> Kept | None:
        """Its end; None where none is kept, or that of another trial of this number."""
        if database_path(self.storage) is None:
            return None
        found = read_kept(kept_folder(self.storage, self.study), self.trial)
        return found if found is not None and found.is_of(self.metrics) else None


def _text(metrics: Sequence[Mapping[str, float]]) -> str:
    """Metrics as text, in which NaN is like itself."""
    return json.dumps([*map(dict, metrics)], sort_keys=True)


def kept_folder(storage: str, study: str) -> CheckpointFolder:
    """The folder of a study in a SQLite database."""
    return CheckpointFolder.beside(storage, study, "weights")


def check_keeping(storage: str, study: str) -> None:
    """Refuse to keep weights beside a database on a server, or where a link stands.

    Raises:
        HpoError: for such a storage.
    """
    if database_path(storage) is None:
        raise HpoError(
            f"{_KEY}: weights lie beside a database in a file, and {shown(parsed_url(storage))} is "
            "on a server: write 0, or give --storage sqlite:///hpo.db."
        )
    kept_folder(storage, study).check()


def write_kept(folder: CheckpointFolder, kept: Kept) -> str:
    """Write the end of a trial; gives the name of the file.

    Raises:
        OSError: if it cannot be written; nothing is left behind.
    """
    text = {
        "metrics": [*map(dict, kept.metrics)],
        "curves": {key: [*map(dict, curve)] for key, curve in kept.curves.items()},
        "precision": kept.precision,
        "provenance": dict(kept.provenance),
    }
    arrays = {
        f"{key}/{name}": np.asarray(leaf)
        for key, state in kept.states.items()
        for name, leaf in state.items()
    }
    if kept.predictions is not None:
        arrays[_PREDICTIONS] = kept.predictions
    arrays[_TEXT] = np.frombuffer(json.dumps(text).encode(), np.uint8)
    return folder.save(Run(kept.trial), len(kept.metrics), arrays)[0]


def read_kept(folder: CheckpointFolder, trial: int) -> Kept | None:
    """The end of a trial; None where there is none that can be read."""
    for name in folder.names():
        if trial_of(name) != trial:
            continue
        arrays = folder.load(name, name.rpartition("-")[2].partition(".")[0])
        try:
            return None if arrays is None else _kept(trial, arrays)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None
    return None


def has_predictions(folder: CheckpointFolder, trial: int) -> bool:
    """Whether the file of a trial holds predictions, too."""
    names = (name for name in folder.names() if trial_of(name) == trial)
    return any(_PREDICTIONS in folder.array_names(name) for name in names)


def _kept(trial: int, arrays: dict[str, np.ndarray]) -> Kept:
    text = json.loads(arrays.pop(_TEXT).tobytes())
    predictions = arrays.pop(_PREDICTIONS, None)
    states: dict[str, dict[str, np.ndarray]] = {}
    for path, leaf in arrays.items():
        key, _, name = path.partition("/")
        states.setdefault(key, {})[name] = leaf
    curves = dict(text["curves"])
    if curves.keys() != states.keys():
        raise ValueError("has the states of other runs")
    parts = text["precision"], dict(text["provenance"])
    return Kept(trial, list(text["metrics"]), curves, states, *parts, predictions)


def prune_kept(folder: CheckpointFolder, trials: Collection[int], newest: str = "") -> None:
    """Delete the files of other trials, and those of the trial of `newest` but for that file."""
    is_new = {trial_of(newest)} if newest else set()
    kept = {name for name in folder.names() if trial_of(name) in {*trials} - is_new}
    folder.sweep(kept | ({newest} if newest else set()))


def trial_of(name: str) -> int:
    """The number of the trial whose file has this name."""
    return Run.parse(name.partition("-")[0]).trial
