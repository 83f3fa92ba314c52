"""The Gaussian process."""

import numpy as np
import pytest

from hpo.search.samplers.gaussian_process import (
    GaussianProcess,
    Hyperparameters,
    Observations,
    fit_hyperparameters,
    log_expected_improvement,
)


def test_a_process_without_noise_interpolates_its_observations():
    x = np.array([[0.0], [0.4], [1.0]])
    values = np.array([1.0, -1.0, 0.0])
    seen = Observations(x, np.array([0]), values, np.zeros(3))
    process = GaussianProcess(seen, Hyperparameters(np.array([0.3]), np.array([1e-9, 1e-9])))
    mean, deviation = process.predict(np.array([[0.4], [0.7]]))
    assert mean[0] == pytest.approx(-1.0, abs=1e-4)
    assert deviation[0] < 0.01 < 0.3 < deviation[1]


def test_the_length_scale_of_a_column_that_does_not_matter_is_long():
    rng = np.random.default_rng(0)
    x = rng.random((40, 2))
    values = np.sin(6 * x[:, 0])
    values = (values - values.mean()) / values.std()
    hyper = fit_hyperparameters(Observations(x, np.array([0, 1]), values, np.zeros(40)))
    assert hyper.scales[1] > 5 * hyper.scales[0]
    assert hyper.noise[0] < 0.02


def test_expected_improvement_equals_its_integral_and_orders_far_points():
    draws = np.random.default_rng(0).normal(0.5, 2.0, 400_000)
    gain = log_expected_improvement(np.array([0.5]), np.array([2.0]), 0.0)
    assert np.exp(gain[0]) == pytest.approx(np.maximum(-draws, 0).mean(), rel=0.01)
    far = log_expected_improvement(np.array([40.0, 50.0]), np.array([1.0, 1.0]), 0.0)
    assert far[0] > far[1] > -np.inf
