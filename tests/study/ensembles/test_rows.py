"""The rows that judge the trials of an ensemble."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpo.data.dataset import DataSet, Split, of_folds
from hpo.data.transforms.transform import FittedTransform
from hpo.errors import HpoError
from hpo.study.ensembles.rows import same_rows


def a_data_set(y: list[float], mean: float, **parts: Any) -> DataSet:
    """A regression whose targets have this mean, and a deviation of 2."""
    transform = FittedTransform(target_mean=np.array(mean), target_std=np.array(2.0))
    scaled = ((np.array(y) - mean) / 2).astype(np.float32)
    split = Split({"x": np.zeros((len(y), 1), np.float32), "y": scaled})
    return DataSet("regression", split, split, None, 1, str(mean), transform=transform, **parts)


def test_the_same_targets_on_another_scale_are_the_same_rows() -> None:
    first = a_data_set([1, 2, 4], 3.0)
    found = same_rows([4, 9], [first, a_data_set([1, 2, 4], 0.0)])
    assert (found.data, [*found.splits]) == (first, ["validation"])
    assert found.splits["validation"] is first.validation


@pytest.mark.parametrize(
    "other",
    [
        a_data_set([1, 2, 5], 3.0),
        a_data_set([1, 2], 3.0),
        replace(a_data_set([1, 2, 4], 3.0), task="counts"),
        a_data_set([1, 2, 4], 3.0, folds=(a_data_set([1, 2, 4], 3.0),)),
    ],
)
def test_other_rows_are_refused_with_both_trials(other: DataSet) -> None:
    with pytest.raises(HpoError, match="trial 9 reads or splits its data otherwise than trial 4"):
        same_rows([4, 9], [a_data_set([1, 2, 4], 3.0), other])


def test_the_rows_of_folds_lie_end_to_end_on_one_scale() -> None:
    data = of_folds([a_data_set([1, 2, 4], 3.0), a_data_set([7, 9], 1.0)])
    validation = same_rows([0], [data]).splits["validation"]
    values = validation.y * data.target_std + data.target_mean
    np.testing.assert_allclose(values, [1, 2, 4, 7, 9])
