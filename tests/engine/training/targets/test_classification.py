"""Classes and labels, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from scipy.special import expit, softmax

from hpo.data.dataset import DataSet, Split
from hpo.engine.training.targets.sums import (
    batch_loss,
)
from tests.engine.samples import (
    a_split,
    metrics_of,
    weighted,
)


def test_the_metrics_of_a_classification_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    part = a_split(rng, 50, (5,))
    data = DataSet("classification", part, part, None, 3, "c")
    outputs = rng.standard_normal((50, 3)).astype(np.float32)
    odds = np.exp(outputs.astype(np.float64))
    probabilities = odds / odds.sum(1, keepdims=True)
    assert metrics_of(data, outputs, part) == pytest.approx(
        {
            "loss": sklearn.metrics.log_loss(part.y, probabilities),
            "accuracy": sklearn.metrics.accuracy_score(part.y, outputs.argmax(1)),
        },
        rel=1e-5,
    )


def test_rows_count_by_their_weights_in_a_classification_as_in_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    part = weighted(a_split(rng, 50, (5,)))
    data = DataSet("classification", part, part, None, 3, "c")
    outputs = rng.standard_normal((50, 3)).astype(np.float32)
    probabilities = softmax(outputs.astype(np.float64), axis=1)
    weights = part.arrays["weight"]
    assert metrics_of(data, outputs, part) == pytest.approx(
        {
            "loss": sklearn.metrics.log_loss(part.y, probabilities, sample_weight=weights),
            "accuracy": sklearn.metrics.accuracy_score(
                part.y, outputs.argmax(1), sample_weight=weights
            ),
        },
        rel=1e-5,
    )
    losses = -np.log(probabilities[np.arange(50), part.y])
    mean = batch_loss("classification", outputs, part.arrays, None)
    assert float(mean) == pytest.approx((losses * weights).mean(), rel=1e-5)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_metrics_of_labels_are_those_of_scikit_learn(is_weighted: bool) -> None:
    rng = np.random.default_rng(0)
    y = (rng.random((60, 4)) < 0.4).astype(np.float32)
    part = Split({"x": np.zeros((60, 1), np.float32), "y": y})
    part = weighted(part) if is_weighted else part
    weights = part.arrays.get("weight")
    data = DataSet("multilabel", part, part, None, 4, "l")
    outputs = (4 * y - 2 + rng.standard_normal((60, 4))).astype(np.float32)
    chances = expit(outputs.astype(np.float64))
    found = metrics_of(data, outputs, part)
    entropies = [
        sklearn.metrics.log_loss(y[:, k], chances[:, k], sample_weight=weights) for k in range(4)
    ]
    assert found == pytest.approx(
        {
            "loss": np.mean(entropies),
            "accuracy": sklearn.metrics.accuracy_score(y, chances > 0.5, sample_weight=weights),
        },
        rel=1e-5,
    )
