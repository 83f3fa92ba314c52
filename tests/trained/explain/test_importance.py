"""Permutation importance, compared with scikit-learn's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t
from sklearn.inspection import permutation_importance
from sklearn.metrics import log_loss

from hpo.data.source import Source
from hpo.data.transforms.features import Features, NumberColumn, TextColumn
from hpo.trained.explain.explanation import explained
from hpo.trained.explain.findings import How
from hpo.trained.explain.importance import columns_of, interval, with_column
from hpo.trained.model import Model, load_model
from hpo.trained.predict import read_new

REPEATS = 3


class Estimator:
    """A model as scikit-learn wants it."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def fit(self, *_: Any) -> None: ...

    def chances(self, rows: pd.DataFrame) -> np.ndarray:
        return self.model.predictions(read_new(self.model, rows).source)


def test_importances_are_those_of_scikit_learn_from_the_same_table(churn: Path) -> None:
    model, table = load_model(churn / "model", "cpu"), pd.read_csv(churn / "table.csv")
    table["when"] = table["when"].astype(str)
    columns = ["age", "city", "income", "member", "when"]
    y = (table["churn"] == "yes").astype(int)

    def score(estimator: Estimator, rows: pd.DataFrame, y: pd.Series) -> float:
        return -log_loss(y, estimator.chances(rows))

    expected = permutation_importance(
        Estimator(model), table[columns], y, scoring=score, n_repeats=REPEATS, random_state=7
    )
    new = read_new(model, churn / "table.csv", with_target=True)
    found = explained(model, new, How(repeats=REPEATS, seed=7))
    by_column = {one.column: one for one in found.importance}
    assert [one.column for one in found.importance[:2]] == ["age", "city"]
    for name, mean, own in zip(
        columns, expected.importances_mean, expected.importances, strict=True
    ):
        assert by_column[name].mean == pytest.approx(mean, abs=1e-6), name
        half = t.ppf(0.975, REPEATS - 1) * own.std(ddof=1) / np.sqrt(REPEATS)
        assert by_column[name].low == pytest.approx(mean - half, abs=1e-6)
        assert by_column[name].high == pytest.approx(mean + half, abs=1e-6)


def test_the_parts_of_a_column_move_together() -> None:
    numbers = (NumberColumn("when", "year"), NumberColumn("age", "number"))
    features = Features((*numbers, NumberColumn("when", "month")), (TextColumn("city", ("a",)),))
    columns = columns_of(features)
    assert [*columns] == ["when", "age", "city"]
    source = Source(
        x=np.array([[1.0, 2, 3], [4, 5, 6]]),
        y=np.zeros(2),
        target="",
        categories=np.array([[0], [-1]], np.int32),
    )
    moved = with_column(source, columns["when"], source, np.array([1, 0]))
    assert moved.x.tolist() == [[4, 2, 6], [1, 5, 3]]
    assert moved.categories is source.categories
    moved = with_column(source, columns["city"], source, np.array([1, 0]))
    assert moved.categories is not None
    assert moved.categories.tolist() == [[-1], [0]]


def test_arrays_have_columns_and_images_none() -> None:
    assert [*columns_of(Features(shape=(3,), type="float64"))] == ["x[0]", "x[1]", "x[2]"]
    assert columns_of(Features(shape=(8, 8, 1), type="uint8")) == {}


def test_the_interval_of_equal_values_is_a_point() -> None:
    assert interval([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)
