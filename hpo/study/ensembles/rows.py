"""The trials of an ensemble, the rows that judge them, and what its models answer for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.engine.training.ensemble import mean_on_validation, mean_predictions
from hpo.engine.training.targets.regression import in_own_unit
from hpo.errors import HpoError
from hpo.spec.experiment import Experiment
from hpo.trained.model import Model

if TYPE_CHECKING:
    from hpo.study.kept.files import KeptTrial  # imports the database


class Candidate(Protocol):
    """A trial that may be part of an ensemble: its number, and the spec that trains it again.

    `kept` is where its weights may be.
    """

    @property
    def number(self) -> int: ...

    @property
    def experiment(self) -> Experiment: ...

    @property
    def kept(self) -> KeptTrial | None: ...


class Rows(NamedTuple):
    """The rows that judge an ensemble: those of validation, and of test if there are any."""

    data: DataSet
    splits: Mapping[str, Split]


# The predictions of a model for the rows of each split.
Predictions = Mapping[str, np.ndarray]


def same_rows(numbers: Sequence[int], datas: Sequence[DataSet]) -> Rows:
    """The rows that judge all trials, by their numbers, as the winner's data set has them.

    Raises:
        HpoError: for trials that were judged on other rows, or that read other columns.
    """
    each = [_Told.of(data) for data in datas]
    for number, one in zip(numbers, each, strict=True):
        if not one.is_like(each[0]):
            raise HpoError(
                f"trial {number} reads or splits its data otherwise than trial "
                f"{numbers[0]}: an ensemble needs trials of the same rows: give a "
                "smaller --top, or a study whose space leaves these settings alone."
            )
    data = datas[0]
    if not data.folds:
        splits = {"validation": data.validation, "test": data.test}
        return Rows(data, {name: one for name, one in splits.items() if one is not None})
    arrays = {"y": each[0].targets["validation"]}
    if data.task == "regression":
        arrays["y"] = ((arrays["y"] - data.target_mean) / data.target_std).astype(np.float32)
    if "weight" in data.train.shared:
        arrays["weight"] = np.concatenate([one.validation.arrays["weight"] for one in data.folds])
    splits = {"validation": Split(arrays), "test": data.test}
    return Rows(data, {name: one for name, one in splits.items() if one is not None})


class _Told(NamedTuple):
    """What candidates must have in common: columns, classes, and the targets of their rows."""

    data: DataSet
    targets: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, data: DataSet) -> _Told:
        parts = {"validation": [(one, one.validation) for one in data.members]}
        if data.test is not None:
            parts["test"] = [(data, data.test)]
        return cls(
            data,
            {
                name: np.concatenate([in_own_unit(split.y, one) for one, split in some])
                for name, some in parts.items()
            },
        )

    def is_like(self, other: _Told) -> bool:
        """Whether these are the same rows, read in the same way."""
        own, its = self.data, other.data
        return (
            (own.task, own.classes, own.features) == (its.task, its.classes, its.features)
            and len(own.folds) == len(its.folds)
            and self.targets.keys() == other.targets.keys()
            and all(
                one.shape == other.targets[name].shape
                and np.allclose(one, other.targets[name], rtol=1e-4, atol=1e-4)
                for name, one in self.targets.items()
            )
        )


def judged_answers(model: Model, data: DataSet, kept: np.ndarray | None = None) -> Predictions:
    """The predictions of a model for the rows that judge it, by the name of the split.

    Those for the validation rows are `kept`, where a search has kept them.
    """
    weights = [one.weights for one in model.members]
    of_model = model.program, model.training, weights
    found = {"validation": mean_on_validation(*of_model, data) if kept is None else kept}
    if data.test is not None:
        # The runs of a seed are those of its folds in order.
        members = [*data.members] * (len(weights) // len(data.members))
        tests = [one.test for one in members if one.test is not None]
        found["test"] = mean_predictions(*of_model, members, tests)
    return found
