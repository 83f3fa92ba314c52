"""Metrics that need the predictions for all rows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics

from hpo import registry
from hpo.data.dataset import DataSet, Split
from hpo.data.transforms.transform import FittedTransform
from hpo.engine.training.metrics.classes import auroc
from hpo.engine.training.metrics.scored import scored_metrics
from hpo.errors import HpoError
from hpo.spec.code.own_code import Own
from hpo.spec.code.own_metric import found_metrics
from hpo.spec.marks import with_leaves
from tests.engine.samples import Learn, a_split, a_training, tiny_data


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
