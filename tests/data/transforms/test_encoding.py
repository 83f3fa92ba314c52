"""Categories as numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.feature_extraction import FeatureHasher
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

from hpo.data.source import Source
from hpo.data.transforms.encoding import PARTS, training_parts
from hpo.data.transforms.transform import fit_transform
from hpo.spec.sections.columns import Columns

TEXTS = ("Bonn", "Köln", "Ulm", "南京", "")


def categories(codes, y=None, classes=()):
    codes = np.array(codes, np.int32)
    y = np.arange(len(codes), dtype=np.float64) if y is None else y
    return Source(
        x=np.zeros((len(codes), 0)),
        y=y,
        target="t.csv",
        classes=classes,
        categories=codes,
        text_names=tuple("abc"[: codes.shape[1]]),
        values=(TEXTS,) * codes.shape[1],
    )


def fit(train, **columns):
    return fit_transform(train, "none", columns=Columns(**columns))


codes = st.integers(-1, 3)


@pytest.mark.parametrize("impute", ["most_frequent", "constant"])
@pytest.mark.parametrize("encode", ["one_hot", "ordinal"])
@given(arrays(np.int32, (9, 2), elements=codes), arrays(np.int32, (4, 2), elements=codes))
def test_categories_are_encoded_as_scikit_learn_encodes_them(impute, encode, train, other):
    train[0] = [1, 2]  # no column is empty
    oracles = {
        "one_hot": OneHotEncoder(handle_unknown="ignore", sparse_output=False),
        "ordinal": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    }
    constant = {"fill_value": 99} if impute == "constant" else {}
    imputer = SimpleImputer(missing_values=-1, strategy=impute, **constant)
    pipeline = make_pipeline(imputer, oracles[encode]).fit(train)
    fitted = fit(categories(train), impute=impute, encode=encode)
    for rows in (train, other):
        np.testing.assert_array_equal(fitted.apply(categories(rows)), pipeline.transform(rows))


@pytest.mark.parametrize("smoothing", ["auto", 0.0, 3.0])
@pytest.mark.parametrize("classes", [0, 2, 3])
def test_mean_targets_are_those_of_scikit_learn_and_a_training_rows_are_of_other_parts(
    smoothing, classes
):
    rng = np.random.default_rng(classes)
    train, other = rng.integers(0, 3, (60, 2)), rng.integers(0, 4, (20, 2))
    y = rng.permutation(np.arange(60) % classes).astype(np.int32) if classes else rng.random(60)
    smooth = float(smoothing) if smoothing != "auto" else "auto"
    kind = {0: "continuous", 2: "binary", 3: "multiclass"}[classes]
    names = tuple("xyz"[:classes])
    source = categories(train, y, names)
    fitted = fit(source, encode="target", smoothing=smoothing)

    def oracle(rows):
        return TargetEncoder(target_type=kind, smooth=smooth).fit(train[rows], y[rows])

    everything = np.arange(60)
    np.testing.assert_allclose(
        fitted.apply(categories(other, np.zeros(20), names)),
        oracle(everything).transform(other),
        rtol=1e-6,
    )
    parts = training_parts(60)
    found = fitted.apply(source, parts)
    for part in range(PARTS):
        own = parts == part
        expected = oracle(everything[~own]).transform(train[own])
        np.testing.assert_allclose(found[own], expected, rtol=1e-6)


def test_the_target_of_a_training_row_never_reaches_its_own_features():
    train, y = np.arange(40)[:, None] % 4, np.linspace(0, 1, 40)
    before = fit(categories(train, y), encode="target").apply(
        categories(train, y), training_parts(40)
    )
    changed = y.copy()
    changed[7] = 1e6
    after = fit(categories(train, changed), encode="target").apply(
        categories(train, changed), training_parts(40)
    )
    same = training_parts(40) == training_parts(40)[7]
    np.testing.assert_array_equal(before[same], after[same])
    assert (before[~same] != after[~same]).all()


@given(arrays(np.int32, (5, 2), elements=st.integers(0, 4)), st.integers(1, 50))
def test_hashes_are_those_of_scikit_learn(rows, buckets):
    found = fit(categories(rows), encode="hashing", buckets=buckets).apply(categories(rows))
    hasher = FeatureHasher(buckets, input_type="string", alternate_sign=False)
    expected = [hasher.transform([[TEXTS[code]] for code in column]).toarray() for column in rows.T]
    np.testing.assert_array_equal(found, np.concatenate(expected, axis=1))


def test_any_text_has_a_hash_though_no_training_row_has_it():
    fitted = fit(categories([[0], [0]]), encode="hashing", buckets=1000)
    assert fitted.apply(categories([[3]])).sum() == 1


def test_columns_by_name_differ_from_the_others():
    train = categories([[0, 0], [1, 1], [2, 2]])
    found = fit(train, encode="ordinal", by_name={"b": {"encode": "one_hot"}}).apply(train)
    np.testing.assert_array_equal(found, [[0, 1, 0, 0], [1, 0, 1, 0], [2, 0, 0, 1]])


def test_places_and_mean_targets_are_scaled_as_numbers_are():
    train = categories([[0], [1], [2]])
    found = fit_transform(train, "minmax", columns=Columns(encode="ordinal")).apply(train)
    np.testing.assert_array_equal(found, [[0], [0.5], [1]])
