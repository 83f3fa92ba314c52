"""The temperature of a trained classifier, and how well its chances are calibrated with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.engine.program import Program
from hpo.engine.training.ensemble import mean_predictions
from hpo.engine.training.metrics.classes import calibration_error
from hpo.engine.training.metrics.temperature import fitted_temperature, tempered
from hpo.spec.experiment import Training
from hpo.trained.save import SplitMetrics


class Calibration(NamedTuple):
    """A temperature, and the calibration error of each split: `raw`, and `tempered` by it."""

    temperature: float
    errors: SplitMetrics


def calibrated(
    program: Program, training: Training, weights: Sequence[Mapping[str, Any]], data: DataSet
) -> Calibration | None:
    """The temperature of the mean prediction of some models, fitted on the validation rows.

    None for other targets than one class of several, and where no temperature is best. None for
    folds: rows on which no member has trained are the test rows alone, which may decide nothing.
    """
    if data.task != "classification" or data.folds:
        return None
    members = [data] * len(weights)

    def predicted(split: Split) -> np.ndarray:
        return mean_predictions(program, training, weights, members, [split] * len(weights))

    return calibration_of(
        predicted(data.validation),
        data.validation,
        None if data.test is None else predicted(data.test),
        data.test,
    )


def calibration_of(
    validated: np.ndarray, validation: Split, tested: np.ndarray | None, test: Split | None
) -> Calibration | None:
    """The temperature that chances for the validation rows ask for; those of test rows are told."""
    temperature = fitted_temperature(validated, validation.y, validation.row_weight)
    if temperature is None:
        return None

    def errors(predictions: np.ndarray, split: Split) -> dict[str, float]:
        kinds = {"raw": predictions, "tempered": tempered(predictions, temperature)}
        return {
            name: calibration_error(one, split.y, split.row_weight) for name, one in kinds.items()
        }

    of_test = None if tested is None or test is None else errors(tested, test)
    return Calibration(temperature, {"validation": errors(validated, validation), "test": of_test})
