"""The privacy that trainings spend, against the formula for whole orders and published numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import logsumexp

from hpo.engine.training.techniques.accounting import ORDERS, epsilon, step_divergences


@pytest.mark.parametrize(("rate", "noise"), [(0.001, 0.7), (0.01, 2.5), (0.25, 1.1), (0.9, 4.0)])
def test_divergences_of_whole_orders_are_the_binomial_sums_of_the_paper(
    rate: float, noise: float
) -> None:
    # Mironov et al. 2019, Section 3.3: a sum over how many of `order` copies of a row are drawn.
    for place in np.flatnonzero(ORDERS.astype(int) == ORDERS):
        order = int(ORDERS[place])
        terms = [
            math.log(math.comb(order, k))
            + (order - k) * math.log1p(-rate)
            + k * math.log(rate)
            + k * (k - 1) / (2 * noise**2)
            for k in range(order + 1)
        ]
        expected = logsumexp(terms) / (order - 1)
        assert step_divergences(rate, noise)[place] == pytest.approx(expected, rel=1e-7, abs=1e-12)


def test_divergences_of_broken_orders_are_those_that_tensorflow_privacy_publishes() -> None:
    # Its test: compute_rdp(0.01, 2.5, 50, [1.5, 2.5, 5, 50]).
    found = 50 * step_divergences(0.01, 2.5)[np.isin(ORDERS.round(6), [1.5, 2.5, 5, 50])]
    np.testing.assert_allclose(found, [0.00065, 0.001085, 0.00218075, 0.023846], atol=1e-6)


# Its tests of compute_dp_sgd_privacy: rows, batch, noise, epochs, delta and epsilon.
_PUBLISHED = [
    (60_000, 150, 1.3, 15, 1e-5, 0.7242234026109595),
    (100_000, 100, 1.0, 30, 1e-7, 1.4154988495444845),
]


@pytest.mark.parametrize(("rows", "batch", "noise", "epochs", "delta", "expected"), _PUBLISHED)
def test_epsilon_is_that_which_tensorflow_privacy_publishes(
    rows: int, batch: int, noise: float, epochs: int, delta: float, expected: float
) -> None:
    steps = math.ceil(epochs * rows / batch)
    found = epsilon(steps * step_divergences(batch / rows, noise), delta)
    assert found == pytest.approx(expected, rel=1e-9)


# Google's dp-accounting 0.6.0: RdpAccountant composed of steps of a PoissonSampledDpEvent.
_ACCOUNTED = [
    (0.004, 1.1, 5000, 1e-5, 1.4090470954189163),
    (0.02, 0.8, 2000, 1e-5, 10.082755397643155),
    (0.1, 2.0, 400, 1e-6, 5.920654625860921),
    (1.0, 4.0, 30, 1e-5, 6.813318185854952),
]


@pytest.mark.parametrize(("rate", "noise", "steps", "delta", "expected"), _ACCOUNTED)
def test_epsilon_is_that_of_dp_accounting(
    rate: float, noise: float, steps: int, delta: float, expected: float
) -> None:
    found = epsilon(steps * step_divergences(rate, noise), delta)
    assert found == pytest.approx(expected, rel=3e-6)


def test_a_batch_of_all_rows_is_the_gaussian_mechanism() -> None:
    np.testing.assert_allclose(step_divergences(1.0, 2.0), ORDERS / 8)
    np.testing.assert_allclose(step_divergences(1 - 1e-12, 2.0), ORDERS / 8, rtol=1e-6)


def test_more_steps_and_less_noise_spend_more() -> None:
    spent = [
        epsilon(steps * step_divergences(0.05, noise), 1e-5)
        for steps, noise in ((10, 2.0), (100, 2.0), (100, 1.0))
    ]
    assert 0 < spent[0] < spent[1] < spent[2]
