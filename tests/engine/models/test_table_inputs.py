"""Periodic features of numbers, by hand and by their first distribution."""

from __future__ import annotations

import math

import jax
import numpy as np

from hpo.engine.models.table_inputs import PERIODIC_LEAVES, Periodic


def test_each_number_gives_three_functions_of_its_waves() -> None:
    rng = np.random.default_rng(0)
    periodic = Periodic(2)
    arrays = {
        name: rng.normal(size=getattr(periodic, name).shape)
        for name in ("frequencies", "phases", "waves", "offsets")
    }
    for name, array in arrays.items():
        getattr(periodic, name)[...] = array.astype(np.float32)
    x = rng.normal(size=(5, 3))  # the third feature is no number
    found = periodic(x.astype(np.float32), 0.7)
    by_hand = np.zeros((5, 2, 3))
    for row, column in np.ndindex(5, 2):
        turns = 0.7 * arrays["frequencies"][column] * x[row, column]
        waves = np.cos(2 * math.pi * turns + 0.1 * arrays["phases"][column])
        by_hand[row, column] = 0.1 * (waves @ arrays["waves"][column] + arrays["offsets"][column])
    np.testing.assert_allclose(found, by_hand.reshape(5, 6), rtol=1e-4, atol=1e-5)


def test_first_phases_are_anywhere_in_a_turn_and_sums_of_waves_stay_small() -> None:
    rng = np.random.default_rng(0)
    draw = {name: leaf(rng, (4000, 16)) for name, leaf in PERIODIC_LEAVES.items()}
    assert abs(draw["frequencies"].std() - 1) < 0.01
    # Those of the paper, over the rate of 0.1: turns within pi, weights within 1 / sqrt(16).
    for name, bound in (("phases", math.pi), ("waves", 0.25), ("offsets", 0.25)):
        assert 0.999 * bound < 0.1 * np.abs(draw[name]).max() <= bound


def test_the_frequency_scales_the_rate_of_the_frequencies_as_the_paper_has_it() -> None:
    # Under Adam an array that enters with the factor c moves by c times the rate.
    periodic = Periodic(1)
    periodic.frequencies[...] = np.ones((1, 16), np.float32)
    periodic.waves[...] = np.full((1, 16, 3), 10 / 16, np.float32)
    slope = jax.grad(lambda x: periodic(x, 0.1)[0, 0])(np.full((1, 1), 0.5, np.float32))
    by_hand = -2 * math.pi * 0.1 * math.sin(2 * math.pi * 0.1 * 0.5)
    np.testing.assert_allclose(slope, [[by_hand]], rtol=1e-5)
