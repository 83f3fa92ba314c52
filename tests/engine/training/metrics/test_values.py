"""Metrics of quantities, against scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import sklearn.metrics

from hpo import registry


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("mape", sklearn.metrics.mean_absolute_percentage_error),
        ("mse", sklearn.metrics.mean_squared_error),
        ("pinball10", partial(sklearn.metrics.mean_pinball_loss, alpha=0.1)),
        ("pinball90", partial(sklearn.metrics.mean_pinball_loss, alpha=0.9)),
    ],
)
def test_metrics_of_several_targets_are_their_means(
    name: str, oracle: Callable[..., float]
) -> None:
    rng = np.random.default_rng(2)
    y, weights = rng.standard_normal((40, 3)) * 9, rng.uniform(0.1, 2, 40)
    predictions = y + rng.standard_normal((40, 3)) * [1, 5, 9]
    found = registry.function("metric", name)(predictions, y, weights)
    assert found == pytest.approx(oracle(y, predictions, sample_weight=weights), rel=1e-6)
