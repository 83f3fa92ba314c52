"""What fills empty numbers, logarithms and quantiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import QuantileTransformer

from hpo.data.transforms.numbers import ends_of
from hpo.data.transforms.transform import fit_transform
from hpo.spec.sections.columns import Columns
from tests.data.transforms.test_transform import NAN, table

cells = st.one_of(st.just(NAN), st.integers(-3, 3).map(float), st.floats(-1e6, 1e6))


def features(train, rows, **columns):
    fitted = fit_transform(table(train), "none", columns=Columns(**columns))
    return fitted.apply(table(rows))


@pytest.mark.parametrize("impute", ["mean", "median", "most_frequent", "constant"])
@given(arrays(np.float64, (9, 3), elements=cells), arrays(np.float64, (4, 3), elements=cells))
def test_empty_numbers_are_filled_and_flagged_as_scikit_learn_does(impute, train, other):
    train[0] = [0.5, 1.5, -2.5]  # no column is empty
    constant = {"fill_value": -7.5} if impute == "constant" else {}
    imputer = SimpleImputer(strategy=impute, add_indicator=True, **constant).fit(train)
    for rows in (train, other):
        found = features(train, rows, impute=impute, flag=True, constant=-7.5)
        np.testing.assert_allclose(found, imputer.transform(rows), rtol=1e-5, atol=1e-3)


@pytest.mark.filterwarnings("ignore:n_quantiles")
@pytest.mark.parametrize("rows", [2, 60, 2500])
def test_quantiles_become_normal_as_scikit_learn_makes_them(rows):
    rng = np.random.default_rng(rows)
    train = np.column_stack([rng.lognormal(size=rows), rng.integers(0, 4, rows), np.ones(rows)])
    other = np.column_stack([rng.lognormal(size=90), rng.integers(-1, 6, 90), np.arange(90)])
    oracle = QuantileTransformer(output_distribution="normal", subsample=None).fit(train)
    for some in (train, other):
        np.testing.assert_allclose(
            features(train, some, transform="quantile"), oracle.transform(some), atol=1e-5
        )


def test_logarithms_keep_the_sign_and_reach_any_number():
    found = features(
        [[0.0], [1], [2]], [[0], [np.e - 1], [1 - np.e], [1e30], [NAN]], transform="log"
    )
    np.testing.assert_allclose(found[:, 0], [0, 1, -1, np.log(1e30), np.log(2)], rtol=1e-6)


def test_a_changed_number_is_scaled_after_the_change():
    train = np.exp(np.array([[1.0], [2], [3]])) - 1
    fitted = fit_transform(table(train), "minmax", columns=Columns(transform="log"))
    np.testing.assert_allclose(fitted.apply(table(train)), [[0], [0.5], [1]], atol=1e-6)


def test_a_flag_says_where_cells_are_empty_where_training_has_such_cells_alone():
    train = [[1, NAN, 3], [NAN, NAN, 4]]
    found = features(train, [[NAN, 5, NAN]], flag=True)
    np.testing.assert_array_equal(found, [[1, 3.5, 1]])


def test_the_ends_of_columns_are_their_lowest_and_highest_numbers():
    x = np.array([[NAN, 3.0], [-1.0, 7.5], [4.0, NAN]])
    assert ends_of(x).tolist() == [[-1, 3], [4, 7.5]]
    assert ends_of(np.zeros((2, 0))).shape == (2, 0)
