"""Series of other sizes and speeds, against NumPy."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from hpo.engine.models.dropout import mask_key
from hpo.engine.training.augmentation.draws import Draws
from hpo.engine.training.augmentation.series import with_magnitude, with_warp, with_window_warp

DRAWS = Draws(mask_key(jnp.array([3, 4], jnp.uint32), jnp.int32(2)), 40)
SERIES = np.random.default_rng(0).normal(size=(40, 12, 2)).astype(np.float32)


def test_a_magnitude_is_one_factor_for_all_numbers_of_an_example_but_codes():
    factor = 1 + 0.3 * np.asarray(DRAWS.symmetric(28))[:, None, None]
    np.testing.assert_allclose(with_magnitude(SERIES, 0.3, DRAWS, 0), factor * SERIES, rtol=1e-6)
    assert 0.7 <= factor.min() < 0.75 < 1.25 < factor.max() <= 1.3

    table = np.asarray(with_magnitude(SERIES[:, :, 0], 0.3, DRAWS, codes=2))
    np.testing.assert_array_equal(table[:, :2], SERIES[:, :2, 0])
    assert not np.isclose(table[:, 2:], SERIES[:, 2:, 0]).all(1).any()


def test_warped_series_are_those_that_numpy_reads_at_bent_times():
    bend = 0.8 * np.asarray(DRAWS.symmetric(29), np.float64)
    times = np.linspace(0, 1, 12)

    ours = np.asarray(with_warp(SERIES, 0.8, DRAWS))

    for row in range(40):
        places = times + bend[row] * np.sin(np.pi * times) / np.pi
        assert (np.diff(places) > 0).all()
        for column in range(2):
            theirs = np.interp(places, times, SERIES[row, :, column])
            np.testing.assert_allclose(ours[row, :, column], theirs, atol=1e-4)


def test_a_warped_window_is_what_numpy_reads_of_a_series_with_a_tenth_at_another_speed():
    is_warped, is_slow, at = np.asarray(DRAWS.uniform(31, (3,)), np.float64).T
    times = np.arange(12.0)

    ours = np.asarray(with_window_warp(SERIES, 0.7, DRAWS))

    assert 0.5 < (is_warped < 0.7).mean() < 0.9
    for row in range(40):
        if is_warped[row] >= 0.7:
            np.testing.assert_array_equal(ours[row], SERIES[row])
            continue
        start, window = at[row] * (11 - 1.1), 1.1
        speed = 0.5 if is_slow[row] < 0.5 else 2
        # Where the corners of the window were, and where they are then.
        corners = np.cumsum([0, start, window / speed, 11 - start - window])
        places = np.interp(np.linspace(0, corners[-1], 12), corners, [0, start, start + window, 11])
        for column in range(2):
            theirs = np.interp(places, times, SERIES[row, :, column])
            np.testing.assert_allclose(ours[row, :, column], theirs, atol=1e-4)


def test_numbers_of_0_that_vary_change_no_bit():
    zero = jnp.float32(0)
    warped = with_window_warp(with_warp(SERIES, zero, DRAWS), zero, DRAWS)
    found = with_magnitude(warped, zero, DRAWS, 0)
    np.testing.assert_array_equal(found, SERIES)
