"""Tables that judge answers, compared with scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, jaccard_score

from hpo.engine.training.metrics.classes import calibration_error
from hpo.trained.explain.judging import (
    calibration_bins,
    calibration_sums,
    confusion,
    error_of_sums,
    overlaps,
    position_losses,
    row_losses,
    worst_rows,
)

RNG = np.random.default_rng(0)
CHANCES = RNG.dirichlet(np.ones(3), 200)
Y = RNG.integers(0, 3, 200)


def test_the_confusion_is_that_of_scikit_learn() -> None:
    found = CHANCES.argmax(1)
    np.testing.assert_array_equal(confusion(Y, found, 3), confusion_matrix(Y, found))


def test_the_bins_are_those_of_scikit_learn_and_give_the_calibration_error() -> None:
    sums = calibration_sums(CHANCES[:90], Y[:90]) + calibration_sums(CHANCES[90:], Y[90:])
    bins = calibration_bins(sums)
    assert error_of_sums(sums) == pytest.approx(calibration_error(CHANCES, Y, None))
    right, chance = calibration_curve(CHANCES.argmax(1) == Y, CHANCES.max(1), n_bins=15)
    np.testing.assert_allclose([one.accuracy for one in bins], right)
    np.testing.assert_allclose([one.chance for one in bins], chance)
    gaps = sum(one.rows * abs(one.chance - one.accuracy) for one in bins)
    assert gaps / 200 == pytest.approx(calibration_error(CHANCES, Y, None))
    assert sum(one.rows for one in bins) == 200


def test_overlaps_are_those_of_scikit_learn_and_unknown_for_a_class_without_pixels() -> None:
    found = overlaps(confusion(Y, CHANCES.argmax(1), 4))
    np.testing.assert_allclose(found[:3], jaccard_score(Y, CHANCES.argmax(1), average=None))
    assert np.isnan(found[3])


def test_losses_of_positions_by_hand() -> None:
    chances = np.array([[[0.5, 0.5], [0.25, 0.75]]])
    found = position_losses(chances, np.array([[1, 0]]))
    np.testing.assert_allclose(found, [[np.log(2), np.log(4)]])


@pytest.mark.parametrize(
    ("task", "predictions", "y", "expected"),
    [
        ("classification", [[0.5, 0.5], [0.25, 0.75]], [0, 0], [np.log(2), np.log(4)]),
        ("multilabel", [[0.5, 0.5], [0.25, 1.0]], [[0, 1], [1, 1]], [np.log(4), np.log(4)]),
        ("regression", [[1.0], [5.0]], [3.0, 4.5], [2.0, 0.5]),
        ("regression", [[1.0, 2.0]], [[1.5, 0.0]], [2.0]),
    ],
)
def test_losses_of_rows_by_hand(
    task: str, predictions: list[list[float]], y: list[float], expected: list[float]
) -> None:
    np.testing.assert_allclose(row_losses(task, np.array(predictions), np.array(y)), expected)


def test_the_worst_rows_come_first_and_no_number_is_worst() -> None:
    assert worst_rows(np.array([1.0, 3.0, np.nan, 3.0]), 3).tolist() == [2, 1, 3]


@pytest.mark.parametrize(("task", "y"), [("classification", [1]), ("multilabel", [[0.0, 1.0]])])
def test_the_loss_of_a_certain_answer_has_no_sign(task: str, y: list[Any]) -> None:
    (loss,) = row_losses(task, np.array([[0.0, 1.0]]), np.array(y))
    assert str(loss) == "0.0"
