"""What the baselines predict is what scikit-learn predicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge

from hpo.study.baselines.estimators import (
    CONSTANT,
    ESTIMATORS,
    LAST,
    SEASONAL,
    Problem,
    fitted,
    planned,
)
from tests.study.baselines.samples import ROWS, a_data_set

FOREST, BOOSTING, LINEAR = (
    ("forest", "leaves of 5"),
    ("boosting", "rate 0.1, 100 rounds"),
    ("linear", "penalty 100"),
)


def a_problem(task, outputs, *, weighted=False, **given):
    train = a_data_set(task, outputs, weighted=weighted).train
    return Problem(
        task, outputs, train.x, train.y, train.arrays.get("weight"), **{"seed": 7, **given}
    )


@pytest.mark.parametrize(
    ("key", "theirs"),
    [
        (CONSTANT, DummyClassifier(strategy="prior")),
        (LINEAR, LogisticRegression(C=0.01, max_iter=1000)),
        (BOOSTING, HistGradientBoostingClassifier(random_state=7)),
        (FOREST, RandomForestClassifier(min_samples_leaf=5, random_state=7)),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_chances_of_classes_are_those_of_scikit_learn(key, theirs, weighted):
    problem = a_problem("classification", 2, weighted=weighted)
    theirs.fit(problem.x, problem.y, sample_weight=problem.weight)

    np.testing.assert_array_equal(fitted(key, problem)(problem.x), theirs.predict_proba(problem.x))


@pytest.mark.parametrize(
    ("task", "key", "theirs"),
    [
        ("regression", CONSTANT, DummyRegressor()),
        ("regression", LINEAR, Ridge(alpha=100)),
        ("regression", BOOSTING, HistGradientBoostingRegressor(random_state=7)),
        ("regression", FOREST, RandomForestRegressor(min_samples_leaf=5, random_state=7)),
        ("counts", LINEAR, PoissonRegressor(alpha=100 / ROWS[0], max_iter=1000)),
        ("counts", BOOSTING, HistGradientBoostingRegressor(loss="poisson", random_state=7)),
        ("counts", FOREST, RandomForestRegressor(min_samples_leaf=5, random_state=7)),
    ],
)
def test_values_and_rates_are_those_of_scikit_learn(task, key, theirs):
    problem = a_problem(task, 1, weighted=True)
    theirs.fit(problem.x, problem.y, sample_weight=problem.weight)

    np.testing.assert_array_equal(
        fitted(key, problem)(problem.x), theirs.predict(problem.x)[:, None]
    )


@pytest.mark.parametrize(
    ("key", "theirs"),
    [
        (CONSTANT, DummyRegressor(strategy="quantile", quantile=0.9)),
        (
            BOOSTING,
            HistGradientBoostingRegressor(loss="quantile", quantile=0.9, random_state=7),
        ),
    ],
)
def test_an_objective_of_a_quantile_asks_for_that_quantile(key, theirs):
    problem = a_problem("regression", 1, quantile=0.9)
    theirs.fit(problem.x, problem.y)

    np.testing.assert_array_equal(
        fitted(key, problem)(problem.x), theirs.predict(problem.x)[:, None]
    )


def test_a_class_that_no_row_trains_has_no_chance():
    problem = a_problem("classification", 5)
    is_known = problem.y != 2
    found = fitted(LINEAR, replace(problem, x=problem.x[is_known], y=problem.y[is_known]))

    chances = found(problem.x)
    assert chances.shape == (ROWS[0], 5)
    assert (chances[:, 2] == 0).all()
    np.testing.assert_allclose(chances.sum(1), 1)


def test_several_labels_and_the_targets_of_boosting_are_fitted_one_by_one():
    labels, targets = a_problem("multilabel", 3), a_problem("regression", 2)
    labels.y[:, 1] = 1  # a label that every row has

    chances, values = fitted(LINEAR, labels)(labels.x), fitted(BOOSTING, targets)(targets.x)
    model = LogisticRegression(C=0.01, max_iter=1000).fit(labels.x, labels.y[:, 2] > 0.5)
    np.testing.assert_array_equal(chances[:, 2], model.predict_proba(labels.x)[:, 1])
    assert (chances[:, 1] == 1).all()
    boosting = HistGradientBoostingRegressor(random_state=7).fit(targets.x, targets.y[:, 1])
    np.testing.assert_array_equal(values[:, 1], boosting.predict(targets.x))


def a_series(period, horizon, window=10, rows=40):
    """Windows of a wave with one other column, and the values after each."""
    wave = np.arange(rows + window + horizon) % period + 100.0
    starts = np.arange(rows)[:, None]
    past, other = wave[starts + np.arange(window)], np.ones((rows, window))
    x = np.stack([other, past], axis=2).reshape(rows, -1).astype(np.float32)
    y = wave[starts + window + np.arange(horizon)].astype(np.float32)
    return Problem("regression", horizon, x, y, None, 7, window=window), past, y


def test_a_series_has_the_last_value_and_that_of_its_period_as_baselines():
    problem, past, y = a_series(period=4, horizon=6)

    last, seasonal = fitted(LAST, problem), fitted(SEASONAL, problem)
    np.testing.assert_array_equal(last(problem.x), np.repeat(past[:, -1:], 6, axis=1))
    np.testing.assert_array_equal(seasonal(problem.x), y)
    single = replace(problem, outputs=1, y=y[:, 0])
    np.testing.assert_array_equal(fitted(SEASONAL, single)(problem.x), y[:, :1])


def test_only_a_series_has_baselines_of_its_past_which_come_first():
    assert planned("regression", 6, 10, is_sparse=False)[:3] == [LAST, SEASONAL, CONSTANT]
    assert planned("regression", 6, 1, is_sparse=False)[:2] == [LAST, CONSTANT]
    assert planned("regression", 6, is_sparse=False)[0] == CONSTANT


@pytest.mark.parametrize(
    ("key", "theirs"),
    [
        (LINEAR, Ridge(alpha=100)),
        (FOREST, RandomForestRegressor(min_samples_leaf=5, random_state=7)),
    ],
)
def test_several_quantities_are_fitted_together_where_that_is_quicker(key, theirs):
    problem = a_problem("regression", 3, weighted=True)
    theirs.fit(problem.x, problem.y, sample_weight=problem.weight)

    np.testing.assert_array_equal(fitted(key, problem)(problem.x), theirs.predict(problem.x))


@pytest.mark.parametrize("key", [CONSTANT, ("linear of words", "penalty 1"), FOREST])
def test_sparse_features_are_taken_as_they_are(key):
    problem = a_problem("classification", 3)
    sparse = replace(problem, x=csr_matrix(problem.x))

    np.testing.assert_allclose(
        fitted(key, sparse)(sparse.x), fitted(key, problem)(problem.x), atol=1e-4
    )


def test_the_cheapest_baselines_come_first_and_each_family_before_a_second_setting():
    few, many, words = (
        planned(*given, is_sparse=is_sparse)
        for *given, is_sparse in (
            ("classification", 2, False),
            ("classification", 10, False),
            ("classification", 2, True),
        )
    )

    def families(keys):
        return [name for name, _ in keys if name != "LightGBM"]

    assert families(few) == ["constant", *(2 * ["linear", "boosting", "forest"])]
    assert families(many) == ["constant", *(2 * ["linear", "forest", "boosting"])]
    assert families(words) == ["constant", *(2 * ["linear of words", "forest"])]
    assert {*few, *words} <= ESTIMATORS.keys()
    with_network = planned("classification", 2, is_sparse=False, has_network=True)
    assert families(with_network)[4] == "network"


def test_lightgbm_predicts_what_it_predicts_alone():
    lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed")
    key = ("LightGBM", "rate 0.1, 100 rounds")
    problem = a_problem("classification", 3, weighted=True)

    assert key in planned("classification", 3, is_sparse=True)
    model = lightgbm.LGBMClassifier(random_state=7, n_jobs=1, verbose=-1)
    model.fit(problem.x, problem.y, sample_weight=problem.weight)
    np.testing.assert_allclose(fitted(key, problem)(problem.x), model.predict_proba(problem.x))
