"""Counts, against scikit-learn and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from scipy.special import gammaln
from scipy.stats import poisson

from hpo.data.dataset import DataSet, Split
from tests.engine.samples import (
    metrics_of,
    sums_of,
    weighted,
)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_metrics_of_counts_are_those_of_scikit_learn(is_weighted: bool) -> None:
    rng = np.random.default_rng(0)
    y = rng.poisson(2.0, 60).astype(np.float32)
    part = Split({"x": np.zeros((60, 1), np.float32), "y": y})
    part = weighted(part) if is_weighted else part
    weights = part.arrays.get("weight")
    data = DataSet("counts", part, part, None, 1, "n")
    outputs = rng.standard_normal((60, 1)).astype(np.float32)
    rates = np.exp(outputs[:, 0].astype(np.float64))
    found = metrics_of(data, outputs, part)
    scores = {
        "deviance": sklearn.metrics.mean_poisson_deviance,
        "rmse": sklearn.metrics.root_mean_squared_error,
        "mae": sklearn.metrics.mean_absolute_error,
    }
    for name, score in scores.items():
        assert found[name] == pytest.approx(score(y, rates, sample_weight=weights), rel=1e-4)
    likelihood = poisson.logpmf(y, rates) + gammaln(y + 1)
    assert found["loss"] == pytest.approx(-np.average(likelihood, weights=weights), rel=1e-5)
    assert len(sums_of(data, outputs, part)) == 3
