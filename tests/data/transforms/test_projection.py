"""Whitening and principal components of scaled features, beside scikit-learn."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, mutual_info_classif, mutual_info_regression
from sklearn.preprocessing import StandardScaler

from hpo.data.source import Source
from hpo.data.transforms.transform import FittedTransform, fit_transform
from hpo.errors import DataError
from hpo.spec.sections.columns import Columns, Reduce

RNG = np.random.default_rng(0)
MIXED = RNG.standard_normal((200, 4)) @ RNG.standard_normal((4, 6)) * [1, 5, 0.01, 2, 1, 9] + 3
MIXED += 0.01 * RNG.standard_normal((200, 6)) * [1, 5, 0.01, 2, 1, 9]
X = StandardScaler().fit_transform(MIXED)


def _table(x: np.ndarray = MIXED) -> Source:
    names = tuple("abcdef"[: x.shape[1]])
    return Source(x, np.arange(len(x)) % 2, "y", classes=("no", "yes"), names=names)


def _pca(components: int | float) -> FittedTransform:
    reduce = Reduce(name="pca", components=components)
    return fit_transform(_table(), "standard", columns=Columns(), reduce=reduce)


def test_whitened_training_features_have_the_identity_as_covariance() -> None:
    fit = fit_transform(_table(), "whiten", columns=Columns(), epsilon=1e-12)
    white = fit.apply(_table()).astype(np.float64)
    np.testing.assert_allclose(np.cov(white.T, ddof=0), np.eye(6), atol=1e-4)
    np.testing.assert_allclose(white.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(fit.more["map"], fit.more["map"].T, atol=1e-8)


def test_whitened_images_keep_their_shape_and_lose_their_correlations() -> None:
    x = RNG.integers(0, 256, (300, 3, 3, 1)).astype(np.uint8)
    x[:, 0] = x[:, 1]  # the same pixels twice: their directions stay 0
    images = Source(x, np.arange(300) % 2, "y", classes=("no", "yes"))
    fit = fit_transform(images, "whiten", columns=Columns(), epsilon=1e-9)
    white = fit.apply(images)
    assert white.shape == x.shape
    values = np.linalg.eigvalsh(np.cov(white.reshape(300, 9).T.astype(np.float64), ddof=0))
    np.testing.assert_allclose(values, [0] * 3 + [1] * 6, atol=1e-3)


@pytest.mark.parametrize("components", [1, 3, 6, 0.5, 0.95, 0.9999])
def test_components_are_those_of_scikit_learn(components: int | float) -> None:
    found = _pca(components).apply(_table())
    wanted = PCA(components, svd_solver="full").fit_transform(X)
    assert found.shape == wanted.shape
    signs = np.sign((found * wanted).sum(0))
    np.testing.assert_allclose(found * signs, wanted, atol=1e-4)


def test_outliers_of_other_splits_change_no_component() -> None:
    fit, outlier = _pca(2), _table(1000 * MIXED[:5])
    before = fit.apply(_table())
    fit.apply(outlier)
    np.testing.assert_array_equal(fit.apply(_table()), before)
    again = FittedTransform.from_arrays(fit.to_arrays())
    np.testing.assert_array_equal(again.apply(outlier), fit.apply(outlier))
    assert (again.numbers, fit.numbers) == (2, 2)


def test_one_hot_columns_follow_the_components_unchanged() -> None:
    codes = (np.arange(200) % 3).astype(np.int32)[:, None]
    table = replace(_table(), categories=codes, values=(("p", "q", "r"),), text_names=("t",))
    reduce = Reduce(name="pca", components=2)
    found = fit_transform(table, "standard", columns=Columns(), reduce=reduce).apply(table)
    np.testing.assert_array_equal(found[:, 2:], np.eye(3)[codes[:, 0]])


def test_more_components_than_features_are_refused() -> None:
    with pytest.raises(DataError, match=r"data.reduce.components: 7 is more than the 6"):
        _pca(7)


@pytest.mark.parametrize("is_class", [True, False])
def test_selected_features_are_those_of_scikit_learn(is_class: bool) -> None:
    y = (MIXED[:, 2] + MIXED[:, 4] > 6).astype(np.int64) if is_class else MIXED[:, 2] ** 2
    table = replace(_table(), y=y, classes=("no", "yes") if is_class else ())
    reduce = Reduce(name="select", features=3)
    fit = fit_transform(table, "standard", columns=Columns(), reduce=reduce)
    information = mutual_info_classif if is_class else mutual_info_regression
    best = SelectKBest(partial(information, random_state=0), k=3).fit(X, y).get_support()
    plain = fit_transform(table, "standard", columns=Columns())
    np.testing.assert_array_equal(fit.apply(table), plain.apply(table)[:, best])
    outlier = replace(table, x=1000 * table.x, y=table.y[::-1])
    assert fit.apply(outlier).shape == (200, 3)
    assert fit.numbers == 3


def test_selected_features_are_whitened_where_both_are_asked_for() -> None:
    reduce = Reduce(name="select", features=3)
    fit = fit_transform(_table(), "whiten", columns=Columns(), reduce=reduce, epsilon=1e-12)
    white = fit.apply(_table()).astype(np.float64)
    np.testing.assert_allclose(np.cov(white.T, ddof=0), np.eye(3), atol=1e-4)


def test_a_selection_of_more_features_than_there_are_or_for_several_targets_is_refused() -> None:
    reduce = Reduce(name="select", features=7)
    with pytest.raises(DataError, match=r"data.reduce.features: 7 is more than the 6 features"):
        fit_transform(_table(), "standard", columns=Columns(), reduce=reduce)
    several = replace(_table(), y=np.ones((200, 2), np.float32), classes=())
    with pytest.raises(DataError, match="select is for one target, and there are several"):
        fit_transform(
            several, "standard", columns=Columns(), reduce=Reduce(name="select", features=2)
        )


def test_whitened_components_are_those_of_scikit_learn() -> None:
    reduce = Reduce(name="pca", components=3)
    fit = fit_transform(_table(), "whiten", columns=Columns(), reduce=reduce, epsilon=1e-12)
    wanted = PCA(3, whiten=True, svd_solver="full").fit_transform(X)
    wanted *= np.sqrt(200 / 199)  # scikit-learn divides by N - 1
    found = fit.apply(_table())
    np.testing.assert_allclose(found * np.sign((found * wanted).sum(0)), wanted, atol=1e-4)
