"""Metrics that need the predictions for all rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from hpo import registry
from hpo.data.dataset import DataSet, Split
from hpo.data.transforms.transform import FittedTransform
from hpo.engine.training.metrics import auroc, scored_metrics
from hpo.errors import HpoError
from hpo.spec.code.own_code import Own
from hpo.spec.code.own_metric import found_metrics
from hpo.spec.marks import with_leaves
from tests.engine.samples import Learn, a_split, a_training, tiny_data


def _pairs(scores: np.ndarray, is_positive: np.ndarray, weights: np.ndarray) -> float:
    """The weighted share of pairs in which the positive row has the higher score."""
    total = right = 0.0
    for i in np.flatnonzero(is_positive):
        for j in np.flatnonzero(~is_positive):
            weight = weights[i] * weights[j]
            total += weight
            right += weight * (float(scores[i] > scores[j]) + 0.5 * float(scores[i] == scores[j]))
    return right / total


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_auroc_is_the_share_of_pairs_in_the_right_order(classes: int, is_weighted: bool) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, 40)
    predictions = softmax(rng.standard_normal((40, classes)).round(1), axis=1)
    weights = rng.uniform(0.1, 2, 40) if is_weighted else np.ones(40)
    each = [_pairs(predictions[:, k], y == k, weights) for k in range(classes)]
    expected = each[1] if classes == 2 else np.mean(each)
    assert auroc(predictions, y, weights if is_weighted else None) == pytest.approx(expected)


def test_auroc_needs_rows_of_every_class() -> None:
    assert math.isnan(auroc(np.full((4, 2), 0.5), np.ones(4, np.int32), None))


def _one_of_two(score: Callable[..., float]) -> Callable[..., float]:
    """A score of scikit-learn, given the chance of the second of two classes alone."""

    def scored(y: np.ndarray, predictions: np.ndarray, **given: Any) -> float:
        return score(y, predictions[:, 1] if predictions.shape[1] == 2 else predictions, **given)

    return scored


def _of_labels(score: Callable[..., float]) -> Callable[..., float]:
    return lambda y, predictions, **given: score(y, predictions.argmax(1), **given)


# What scikit-learn calls each metric that is computed on the host.
ORACLES: dict[str, Callable[..., float]] = {
    "auroc": _one_of_two(partial(sklearn.metrics.roc_auc_score, multi_class="ovr")),
    "average_precision": _one_of_two(sklearn.metrics.average_precision_score),
    "log_loss": sklearn.metrics.log_loss,
    "macro_f1": _of_labels(partial(sklearn.metrics.f1_score, average="macro", zero_division=0)),
    "mape": sklearn.metrics.mean_absolute_percentage_error,
    "pinball10": partial(sklearn.metrics.mean_pinball_loss, alpha=0.1),
    "pinball50": partial(sklearn.metrics.mean_pinball_loss, alpha=0.5),
    "pinball90": partial(sklearn.metrics.mean_pinball_loss, alpha=0.9),
    "top3_accuracy": partial(sklearn.metrics.top_k_accuracy_score, k=3),
    "top5_accuracy": partial(sklearn.metrics.top_k_accuracy_score, k=5),
}


@pytest.mark.parametrize(
    "name", [name for name, entry in registry.METRICS.items() if entry.function]
)
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(12, 60),
    classes=st.sampled_from([2, 3, 6]),
    digits=st.sampled_from([1, 8]),
    is_weighted=st.booleans(),
)
def test_metrics_are_those_of_scikit_learn(
    name: str, seed: int, rows: int, classes: int, digits: int, is_weighted: bool
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.choice([0.0, 0.5, 1.0, 3.0], rows) if is_weighted else np.ones(rows)
    if "classification" in registry.METRICS[name].tasks:
        classes = max(classes, 6) if name.startswith("top") else classes
        y = np.append(np.arange(classes), rng.integers(0, classes, rows - classes))
        weights[:classes] = 1  # each class has a row that counts
        # Rounded, so that rows and classes have ties.
        predictions = softmax(rng.standard_normal((rows, classes)).round(digits), axis=1)
    else:
        y = rng.standard_normal(rows) * 10
        predictions = y[:, None] + rng.standard_normal((rows, 1))
        weights[0] = 1
    given_weights = weights if is_weighted else None

    found = registry.function("metric", name)(predictions, y, given_weights)

    oracle = predictions if y.dtype.kind == "i" else predictions[:, 0]
    assert found == pytest.approx(ORACLES[name](y, oracle, sample_weight=given_weights), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("auroc", sklearn.metrics.roc_auc_score),
        ("average_precision", sklearn.metrics.average_precision_score),
        (
            "macro_f1",
            lambda y, chances, **given: sklearn.metrics.f1_score(
                y, chances > 0.5, average="macro", **given
            ),
        ),
    ],
)
@pytest.mark.parametrize("is_weighted", [False, True])
def test_metrics_of_labels_are_the_means_of_scikit_learn(
    name: str, oracle: Callable[..., float], is_weighted: bool
) -> None:
    rng = np.random.default_rng(2)
    y = (rng.random((60, 4)) < [0.2, 0.5, 0.5, 0.8]).astype(np.float32)
    chances = (0.3 * y + 0.7 * rng.random((60, 4))).round(2)
    weights = rng.uniform(0.1, 2, 60) if is_weighted else None
    found = registry.function("metric", name)(chances, y, weights)
    assert found == pytest.approx(oracle(y, chances, sample_weight=weights), rel=1e-6)
    alike = np.ones_like(y)
    assert math.isnan(auroc(chances, alike, None))


@pytest.mark.parametrize("name", ["mape", "pinball10", "pinball90"])
def test_metrics_of_several_targets_are_their_means(name: str) -> None:
    rng = np.random.default_rng(2)
    y, weights = rng.standard_normal((40, 3)) * 9, rng.uniform(0.1, 2, 40)
    predictions = y + rng.standard_normal((40, 3)) * [1, 5, 9]
    found = registry.function("metric", name)(predictions, y, weights)
    assert found == pytest.approx(ORACLES[name](y, predictions, sample_weight=weights), rel=1e-6)


@pytest.mark.parametrize("form", ["map", "vmap"])
def test_lanes_report_auroc_over_every_row_whatever_their_neighbours(
    learn: Learn, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    # 40 validation rows in chunks of 14, 14 and 12: the two padding rows of the last are left out.
    monkeypatch.setattr("hpo.engine.training.batches._EVALUATION_ROWS", 14)
    data, seen = tiny_data(), []

    def area(predictions: np.ndarray, y: np.ndarray, weights: None) -> float:
        seen.append(predictions.shape)
        return auroc(predictions, y, weights)

    monkeypatch.setattr(
        "hpo.registry.function",
        lambda kind, name, find=registry.function: area if kind == "metric" else find(kind, name),
    )
    trainings = [a_training(n, optimizer__learning_rate=0.01 * (n + 1)) for n in range(3)]
    asked = [with_leaves(training, {"train.metrics": ("auroc",)}) for training in trainings]
    together = learn(data, asked, lanes=2, form=form)
    assert set(seen) == {(40, 3)}
    for stream, curve in learn(data, trainings, lanes=2, form=form).items():
        areas = [epoch.pop("auroc") for epoch in together[stream]]
        assert all(0.3 < area < 1 for area in areas)
        assert together[stream] == curve


def test_a_metric_of_a_regression_gets_values_in_the_targets_unit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    part = Split({"x": np.zeros((3, 1), np.float32), "y": np.array([-1, 0, 1], np.float32)})
    scale = FittedTransform(target_mean=np.array(100.0), target_std=np.array(2.0))
    data = DataSet("regression", part, part, None, 1, "l", transform=scale)
    monkeypatch.setattr(
        "hpo.registry.function",
        lambda kind, name: lambda a, y, w: [*a[:, 0], *y] == [104, 100, 98, 98, 100, 102],
    )
    assert scored_metrics(("mine",), data, part, np.array([[2.0], [0.0], [-1.0]]), {}) == {
        "mine": 1.0
    }


def test_predictions_that_are_not_finite_have_no_score() -> None:
    data = tiny_data()
    outputs = np.full((len(data.validation), 3), np.nan)
    found = scored_metrics(("auroc",), data, data.validation, outputs, {})
    assert math.isnan(found["auroc"])


OWN = """
import numpy as np
from sklearn.metrics import top_k_accuracy_score

def top2(predictions, y):
    return top_k_accuracy_score(y, predictions, k=2)

def hits(predictions, y):
    return predictions.argmax(1) == y

def weighted(predictions, y, weight):
    return float(np.average(predictions.argmax(1) == y, weights=weight))

def table(predictions, y):
    return predictions

def broken(predictions, y):
    return y.nothing

def nan(predictions, y):
    return float("nan")

def ragged(predictions, y):
    return [[1.0], [1.0, 2.0]]
"""


def _own(folder: Path, name: str) -> tuple[str, dict[str, Own]]:
    (folder / "metrics.py").write_text(OWN)
    ((text, own),) = found_metrics(
        {"train": {"metrics": [{"python": f"metrics.py:{name}"}]}}, folder
    )
    return text, {text: own}


def _weighted_rows() -> tuple[DataSet, np.ndarray]:
    rng = np.random.default_rng(3)
    part = a_split(rng, 50, (5,))
    part = Split({**part.arrays, "weight": rng.random(50).astype(np.float32)})
    data = DataSet("classification", part, part, None, 3, "c")
    return data, rng.standard_normal((50, 3)).astype(np.float32)


def test_a_metric_of_the_users_own_is_that_of_scikit_learn(tmp_path: Path) -> None:
    data, outputs = _weighted_rows()
    text, own = _own(tmp_path, "top2")

    found = scored_metrics((text,), data, data.validation, outputs, own)

    expected = sklearn.metrics.top_k_accuracy_score(data.validation.y, outputs, k=2)
    assert found == {"top2": pytest.approx(expected)}


@pytest.mark.parametrize("name", ["hits", "weighted"])
def test_values_of_rows_are_averaged_by_the_weights_that_a_metric_may_also_take(
    tmp_path: Path, name: str
) -> None:
    data, outputs = _weighted_rows()
    text, own = _own(tmp_path, name)

    found = scored_metrics((text,), data, data.validation, outputs, own)

    expected = sklearn.metrics.accuracy_score(
        data.validation.y, outputs.argmax(1), sample_weight=data.validation.arrays["weight"]
    )
    assert found == {name: pytest.approx(expected)}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("table", r"metrics\.py:table gives an array of shape \[50, 3\] .* for 50 rows"),
        ("broken", r"in broken: return y\.nothing"),
        ("nan", r"metrics\.py:nan gives nan for 50 rows: give a finite number"),
        ("ragged", r"metrics\.py:ragged raised ValueError"),
    ],
)
def test_a_wrong_metric_is_told_by_its_name_or_by_the_users_line(
    tmp_path: Path, name: str, says: str
) -> None:
    data, outputs = _weighted_rows()
    text, own = _own(tmp_path, name)

    with pytest.raises(HpoError, match=says):
        scored_metrics((text,), data, data.validation, outputs, own)
