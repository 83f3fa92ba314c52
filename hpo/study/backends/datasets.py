"""The data sets of a study: each is read once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from hpo.data.cache import DataCache
from hpo.data.corruptions import corrupted
from hpo.data.dataset import NO_DATA, DataSet
from hpo.data.files import source_files
from hpo.data.load import check_batch_size, load_data
from hpo.engine.training.metrics.scored import scored_metrics
from hpo.engine.training.metrics.thresholds import has_thresholds
from hpo.errors import HpoError
from hpo.registry import METRICS
from hpo.spec.code.own_code import Own
from hpo.spec.experiment import Experiment
from hpo.spec.marks import with_leaves
from hpo.spec.sections.data import DataSpec
from hpo.spec.sections.goal import is_own, name_of
from hpo.study.backends.teacher import TeacherPlan, taught_by
from hpo.study.executors.messages import DataReference


class DataSets:
    """The data sets of a study, by their specs; a space may vary how they are normalised.

    Those of a study with a teacher have its answers for the training rows, or the teacher itself.
    """

    def __init__(
        self, folder: Path, home: Path | None, cache: DataCache, teacher: TeacherPlan | None = None
    ) -> None:
        self._folder, self._home, self._cache = folder, home, cache
        self._teacher = teacher
        self._loaded: dict[DataSpec, DataSet] = {}
        self._references: dict[DataSpec, DataReference] = {}

    def load(self, spec: DataSpec) -> DataSet:
        """The data set that a spec describes.

        Raises:
            HpoError: for data that are missing or broken, or smaller than a batch.
        """
        data = self._read(spec)
        check_batch_size(spec, data)
        return data

    def reference(self, spec: DataSpec) -> DataReference:
        """The name of the data set that a spec describes, equal for all its batch sizes."""
        key = _any_batch(spec)
        if key not in self._references:
            self._references[key] = DataReference(key, self._read(spec).fingerprint)
        return self._references[key]

    def of(self, reference: DataReference) -> DataSet:
        """The data set of that name.

        Raises:
            HpoError: where the data read here are not those that the reference was made for.
        """
        if reference.spec is None:
            return NO_DATA
        data = self._read(reference.spec)
        if data.fingerprint != reference.fingerprint:
            raise HpoError(
                f"data.dataset: the data read here (fingerprint {data.fingerprint[:8]}) are not"
                f" those of the study ({reference.fingerprint[:8]}): copy the study's data here."
            )
        return data

    def _read(self, spec: DataSpec) -> DataSet:
        key = _any_batch(spec)
        if key not in self._loaded:
            data = self._plain(spec)
            if self._teacher is not None:
                data = taught_by(
                    self._teacher, data, lambda leaves: self._plain(with_leaves(spec, leaves))
                )
            self._loaded[key] = data
        return self._loaded[key]

    def _plain(self, spec: DataSpec) -> DataSet:
        """The data set without a teacher."""
        data = load_data(spec, self._folder, self._home, self._cache)
        return corrupted(data, spec, self._folder)


def check_metrics(where: str, names: Iterable[str], data: DataSet, own: Mapping[str, Own]) -> None:
    """Refuse a metric that the data's task does not have, or that is NaN whatever is predicted.

    `where` is the part of the spec that names the metrics, `own` are those of the user's own.

    Raises:
        HpoError: for the first such metric.
    """
    for metric in names:
        if metric in METRICS and data.task not in METRICS[metric].tasks:
            known = [name for name, entry in METRICS.items() if data.task in entry.tasks]
            raise HpoError(
                f"{where}: {metric} is not a metric of {data.task}, which has {', '.join(known)}."
            )
        is_scored = is_own(metric) or (metric in METRICS and METRICS[metric].function)
        if not is_scored:
            continue
        for one in data.members:
            rows = one.validation
            shape = (len(rows), *data.positions, data.outputs)
            outputs = np.random.default_rng(0).standard_normal(shape)
            scored = scored_metrics((metric,), one, rows, outputs, own)
            if math.isnan(scored[name_of(metric)]):
                cure = "make data.validation larger" if one is data else "write fewer data.folds"
                raise HpoError(
                    f"{where}: {metric} is NaN for any predictions on the {len(rows):,} validation "
                    f"rows, as where a class has none: {cure}, or leave it out."
                )


def check_threshold(threshold: str | None, data: DataSet) -> None:
    """Refuse a threshold for data whose classes are not found above one.

    Raises:
        HpoError: if there are more than two classes, or none.
    """
    if threshold is not None and not has_thresholds(data):
        what = f"{data.outputs} classes" if data.task == "classification" else data.task
        raise HpoError(
            f"train.threshold: {threshold}: two classes or labels are found above a threshold, and "
            f"this is {what}: remove it."
        )


def _any_batch(spec: DataSpec) -> DataSpec:
    return with_leaves(spec, {"batch_size": 1})


def say_files(experiment: Experiment, home: Path | None, say: Callable[[str], None]) -> None:
    """Tell the user which files a stored spec reads: another person may have chosen them."""
    data = experiment.training.data
    if not experiment.is_stored or isinstance(data.dataset, str):
        return
    if files := source_files(data, experiment.folder, home):
        where = files[0] if len(files) == 1 else files[0].parent
        say(f"Reads {where.resolve()}, as the stored spec says.")
