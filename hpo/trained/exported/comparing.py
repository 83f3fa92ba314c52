"""How far the answers of an export are from those of its model, and what its metrics lose."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from hpo.data.dataset import Split
from hpo.data.source import Source
from hpo.engine.training.ensemble import metrics_of
from hpo.engine.training.metrics.temperature import tempered
from hpo.engine.training.targets.sums import metric_sums, metrics, targets_of
from hpo.errors import HpoError
from hpo.trained.ensembles.ensemble import Answering
from hpo.trained.exported.answers import scale_of
from hpo.trained.exported.precision import TOLERANCES, Precision

# Those of the model and of its export, by these names.
Metrics: TypeAlias = dict[str, dict[str, float]]
# Numbers of answers that are in memory at once.
NUMBERS_AT_ONCE = 1 << 23
# Tasks with an answer for each position of a row, whose metrics are sums.
_WIDE = ("language", "segmentation")


class Compared(NamedTuple):
    """The rows that were compared, the largest difference of answers, and the metrics of both.

    `rows_apart` counts rows that differ by more than sums in another order do.
    """

    rows: int
    difference: float
    metrics: Metrics | None
    rows_apart: int


def compared(
    model: Answering,
    source: Source,
    export: Callable[[slice], np.ndarray],
    tolerance: float,
    precision: Precision,
    *,
    is_judged: bool,
) -> Compared:
    """Compare the answers of an export, which gives them for a slice of the rows, with the model's.

    Raises:
        HpoError: for a larger difference than the tolerance.
    """
    features = model.features_of(source)
    rows, at_once, apart, rows_apart = len(features[0]), rows_at_once(model), 0.0, 0
    tally = _Tally(model, model.judged(source)) if is_judged else None
    for start in range(0, rows, at_once):
        some = slice(start, min(start + at_once, rows))
        chances, found = (
            model.mean_of([x[some] for x in features]),
            export(some),
        )
        new = differences(model, found, tempered(chances, model.temperature))
        apart = float(np.maximum(apart, new.max()))  # which keeps NaN
        rows_apart += int((new > TOLERANCES["float32"]).sum())
        if tally is not None:  # as in training, by the chances without the temperature
            tally.add(some, {"model": chances, "export": tempered(found, 1 / model.temperature)})
    judged = None if tally is None else tally.metrics()
    if not apart <= tolerance:
        lost = "" if judged is None else f" ({loss_text(judged)})"
        out = "" if precision == "float32" else " or a finer --precision"
        raise HpoError(
            f"{model.folder}: the export answers up to {apart:.2g} apart from the model, more than "
            f"--tolerance {tolerance:g}{lost}: nothing was written. Give another tolerance if "
            f"that is near enough{out}."
        )
    return Compared(rows, apart, judged, rows_apart)


class _Tally:
    """The metrics of answers that come piece by piece.

    Answers for each position of a row are too many to be kept: only their sums are.
    """

    def __init__(self, model: Answering, split: Split) -> None:
        self._model, self._split = model, split
        self._sums: dict[str, np.ndarray] = {}
        self._kept: dict[str, list[np.ndarray]] = {}

    def add(self, rows: slice, answers: Mapping[str, np.ndarray]) -> None:
        """Count the answers for some rows."""
        for name, one in answers.items():
            if self._model.description.task in _WIDE:
                self._sums[name] = self._sums.get(name, 0) + self._sums_of(rows, one)
            else:
                self._kept.setdefault(name, []).append(one)

    def _sums_of(self, rows: slice, answers: np.ndarray) -> np.ndarray:
        model = self._model
        targets = targets_of(model.data.task, model.data.outputs)
        some = {name: np.asarray(one[rows]) for name, one in self._split.arrays.items()}
        batch = {"weight": np.ones(len(answers), np.float32), **some}
        outputs = jnp.asarray(targets.outputs(answers, model.data))
        sums = metric_sums(model.data.task, outputs, batch, model.training.loss)
        return np.asarray(jax.device_get(sums), np.float64)

    def metrics(self) -> Metrics:
        """Those of all answers."""
        model, split = self._model, self._split
        if self._sums:
            loss = model.training.loss
            return {name: metrics(model.data, split, one, loss) for name, one in self._sums.items()}
        # The windows at the end of a series have answers, and no targets.
        whole = {name: np.concatenate(one)[: len(split)] for name, one in self._kept.items()}
        return {
            name: metrics_of(one, model.training, model.data, split, model.thresholds)
            for name, one in whole.items()
        }


def rows_at_once(model: Answering) -> int:
    """The rows whose answers are few enough to be in memory at once."""
    about = model.description
    positions = {"segmentation": 2, "language": 1}.get(about.task, 0)  # axes of the answers
    return max(1, NUMBERS_AT_ONCE // (math.prod(about.shape[:positions]) * about.outputs))


def differences(model: Answering, found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """How far the answers for each row are apart at most, `[rows]`.

    Those of quantities are in deviations of the target; those of chances and counts from 1 on.
    """
    unit = np.maximum(1, np.abs(expected))
    if model.description.task == "regression":
        unit = np.broadcast_to(scale_of(model.data)[0], expected.shape)
    apart: np.ndarray = (np.abs(found - expected) / unit).reshape(len(found), -1).max(1)
    return apart


def loss_text(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """What an export loses of each metric: `accuracy 0.98 -> 0.97`."""
    pairs = ((name, one, metrics["export"][name]) for name, one in metrics["model"].items())
    return ", ".join(f"{name} {before:.4g} -> {after:.4g}" for name, before, after in pairs)
