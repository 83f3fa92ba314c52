"""The temperature of chances, compared with SciPy's minimum of the cross-entropy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from hpo.engine.training.metrics.temperature import fitted_temperature, tempered


def rows(factor: float, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Outputs whose chances are right once they are divided by `factor`, and drawn classes."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (count, 3))
    drawn = (softmax(logits, axis=1).cumsum(1) < rng.random((count, 1))).sum(1)
    return logits * factor, drawn


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_the_temperature_is_the_minimum_that_scipy_finds(factor: float) -> None:
    logits, y = rows(factor)

    def loss(temperature: float) -> float:
        return -float(log_softmax(logits / temperature, axis=1)[np.arange(len(y)), y].mean())

    expected = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9})
    found = fitted_temperature(softmax(logits, axis=1), y, None)
    assert found == pytest.approx(expected.x, rel=1e-4)
    assert found == pytest.approx(factor, rel=0.15)


def test_a_weight_of_two_is_a_row_twice() -> None:
    logits, y = rows(2.0, 60)
    chances, weights = softmax(logits, axis=1), np.where(np.arange(60) < 20, 2.0, 1.0)
    twice = np.concatenate([np.arange(60), np.arange(20)])
    expected = fitted_temperature(chances[twice], y[twice], None)
    assert fitted_temperature(chances, y, weights) == pytest.approx(expected)


@pytest.mark.parametrize(
    "chances",
    [
        np.array([[0.9, 0.1], [0.2, 0.8]]),  # all right: the colder, the better
        np.array([[0.1, 0.9], [0.8, 0.2]]),  # all wrong: the hotter, the better
        np.full((2, 2), 0.5),
        np.array([[np.nan, np.nan], [0.2, 0.8]]),
    ],
)
def test_rows_without_a_best_temperature_have_none(chances: np.ndarray) -> None:
    assert fitted_temperature(chances, np.array([0, 1]), None) is None


@given(st.floats(0.05, 20))
def test_a_temperature_keeps_the_order_of_the_classes(temperature: float) -> None:
    chances = softmax(rows(1.0, 20)[0], axis=1)
    found = tempered(chances, temperature)
    np.testing.assert_allclose(found.sum(1), 1)
    assert (found.argmax(1) == chances.argmax(1)).all()


def test_chances_of_zero_and_one_stay_finite() -> None:
    np.testing.assert_allclose(tempered(np.array([[0.0, 1.0]]), 3.0), [[0.0, 1.0]], atol=1e-90)
    assert tempered(np.array([[0.0, 1.0]]), 1.0).tolist() == [[0.0, 1.0]]
