"""Thresholds that a metric chooses on validation rows, against every threshold there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from hpo.data.dataset import DataSet, Split
from hpo.engine.devices import local_devices
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.training.metrics.thresholds import best_thresholds, decided_metrics
from hpo.errors import HpoError, SpecError
from hpo.spec.load import load_document
from hpo.spec.marks import with_leaves
from hpo.study.backends.datasets import check_threshold
from tests.documents import SMALL
from tests.engine.samples import Learn, a_training, tiny_data

ORACLES = {
    "accuracy": sklearn.metrics.accuracy_score,
    "f1": lambda y, found, **given: sklearn.metrics.f1_score(y, found, zero_division=0, **given),
    "macro_f1": lambda y, found, **given: sklearn.metrics.f1_score(
        y, found, average="macro", labels=[0, 1], zero_division=0, **given
    ),
}


def _binary(rng: np.random.Generator, rows: int, *, is_weighted: bool = False) -> Any:
    """Outputs for two classes, of which the second is rare, and the data set that has them."""
    y = (rng.random(rows) < 0.2).astype(np.int32)
    y[:2] = 0, 1
    odds = (2 * y - 3 + rng.standard_normal(rows)).round(1)
    arrays = {"x": np.zeros((rows, 1), np.float32), "y": y}
    if is_weighted:
        arrays["weight"] = rng.choice([0.5, 1.0, 3.0], rows).astype(np.float32)
    part = Split(arrays)
    outputs = np.stack([-odds / 2, odds / 2], axis=1).astype(np.float32)
    return DataSet("classification", part, part, None, 2, "b"), outputs, odds


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(4, 40),
    metric=st.sampled_from(["accuracy", "f1", "macro_f1"]),
    is_weighted=st.booleans(),
)
def test_no_threshold_is_better_than_the_chosen_one(
    seed: int, rows: int, metric: str, is_weighted: bool
) -> None:
    data, outputs, odds = _binary(np.random.default_rng(seed), rows, is_weighted=is_weighted)
    y, weight = data.validation.y, data.validation.arrays.get("weight")
    borders = np.append(np.unique(odds) - 0.05, odds.max() + 1)
    values = [ORACLES[metric](y, odds > border, sample_weight=weight) for border in borders]

    chosen = best_thresholds(metric, data, data.validation, outputs)
    names = () if metric == "accuracy" else (metric,)
    found = decided_metrics(names, data, data.validation, outputs, chosen)

    assert chosen.shape == (1,)
    assert found[metric] == pytest.approx(max(values))
    decided = expit(outputs[:, 1].astype(float) - outputs[:, 0]) > chosen
    assert found["accuracy"] == pytest.approx(
        sklearn.metrics.accuracy_score(y, decided, sample_weight=weight)
    )


@pytest.mark.parametrize("metric", ["accuracy", "f1", "macro_f1"])
def test_each_label_has_a_threshold_of_its_own(metric: str) -> None:
    rng = np.random.default_rng(3)
    y = (rng.random((60, 3)) < [0.1, 0.5, 0.8]).astype(np.float32)
    outputs = (2 * y - [2.5, 1, 0] + rng.standard_normal((60, 3))).round(1).astype(np.float32)
    part = Split({"x": np.zeros((60, 1), np.float32), "y": y})
    data = DataSet("multilabel", part, part, None, 3, "l")

    chosen = best_thresholds(metric, data, part, outputs)
    found = decided_metrics(("f1", "macro_f1"), data, part, outputs, chosen)

    of_label = ORACLES["accuracy" if metric == "accuracy" else "f1"]
    for k in range(3):
        own = outputs[:, k].astype(float)
        borders = np.append(np.unique(own) - 0.05, own.max() + 1)
        best = max(of_label(y[:, k], own > border) for border in borders)
        assert of_label(y[:, k], expit(own) > chosen[k]) == pytest.approx(best)
    decided = expit(outputs.astype(float)) > chosen
    assert found["accuracy"] == sklearn.metrics.accuracy_score(y, decided)
    for name in ("f1", "macro_f1"):
        expected = sklearn.metrics.f1_score(y, decided, average="macro")
        assert found[name] == pytest.approx(expected)


def test_of_equal_thresholds_the_one_nearest_to_a_half_is_chosen() -> None:
    part = Split({"x": np.zeros((4, 1), np.float32), "y": np.array([0, 0, 1, 1], np.int32)})
    data = DataSet("classification", part, part, None, 2, "b")
    outputs = np.array([[0, -5], [0, -3], [0, 3], [0, 6]], np.float32)
    assert best_thresholds("f1", data, part, outputs).tolist() == [0.5]
    assert best_thresholds("f1", data, part, outputs * np.nan).tolist() == [0.5]


def _rare(rows: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, 3)).astype(np.float32)
    return Split({"x": x, "y": (x[:, 0] + rng.standard_normal(rows) > 1.6).astype(np.int32)})


def test_a_test_split_is_judged_with_the_threshold_of_the_validation_split(
    learn: Learn, compiler: Compiler
) -> None:
    data = DataSet("classification", _rare(200, 0), _rare(120, 1), _rare(120, 2), 2, "r")
    plain = with_leaves(a_training(), {"train.metrics": ("auroc", "f1")})
    asked = with_leaves(plain, {"train.threshold": "f1"})
    ((before,), (after,)) = (learn(data, [one]).values() for one in (plain, asked))
    for old, new in zip(before, after, strict=True):
        assert new["f1"] >= old["f1"]
        assert {k: new[k] for k in ("loss", "auroc")} == {k: old[k] for k in ("loss", "auroc")}
    assert after[-1]["f1"] > before[-1]["f1"]

    pool = Pool(local_devices("cpu")[0], compiler)
    program, knobs = split(asked, data, "cpu")
    pool.load(program, Plans(Plan("map", 1)), data)
    pool.put(0, 0, asked, knobs, None, asked.train.epochs)  # type: ignore[arg-type]
    while pool.has_work:
        pool.round()
    assert data.test is not None
    chosen = pool.thresholds(0)
    assert chosen is not None
    judged = pool.evaluate(0, data.test, chosen)
    turned = Split({**data.test.arrays, "y": 1 - data.test.y})
    assert pool.evaluate(0, turned, chosen)["accuracy"] == pytest.approx(1 - judged["accuracy"])
    # Chosen on the test rows, it would flatter.
    assert pool.evaluate(0, data.test)["f1"] >= judged["f1"]


def test_three_classes_have_no_threshold() -> None:
    with pytest.raises(HpoError, match=r"train\.threshold: f1: two classes .* this is 3 classes"):
        check_threshold("f1", tiny_data())
    check_threshold(None, tiny_data())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"dataset": "diabetes"}, "needs classes or labels, and the task is regression: remove"),
        ({"dataset": "breast_cancer", "folds": 3}, "is chosen on one validation split, and data"),
    ],
)
def test_a_spec_that_has_no_use_for_a_threshold_is_refused(
    tmp_path: Path, data: dict[str, Any], says: str
) -> None:
    train = {**SMALL["train"], "threshold": "accuracy"}
    search = {"objective": {"minimize": "loss"}, "trials": 2}
    with pytest.raises(SpecError, match=rf"train\.threshold: {says}"):
        load_document({**SMALL, "data": data, "train": train, "search": search}, tmp_path)
