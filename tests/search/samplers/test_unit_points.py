"""Trials as points of the unit cube."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.search.samplers.unit_points import UnitPoints
from tests.search.samples import SPACE


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_trials_are_points_and_points_are_trials(seed):
    points, rng = UnitPoints(SPACE), np.random.default_rng(seed)
    drawn = points.drawn(3, rng)
    for some in (drawn, points.moved(drawn, np.full(3, 0.2), 0.5, rng)):
        trials = [points.hparams(point, {}) for point in some]
        again = points.of_trials(trials)
        assert [points.hparams(point, {}) for point in again] == trials
        # Whole numbers on a logarithmic scale have a stretch of it each; the others have a point.
        np.testing.assert_allclose(np.delete(again, 1, 1), np.delete(some, 1, 1), atol=1e-9)
    assert points.columns(drawn).shape == (3, len(points.groups)) == (3, 7)
