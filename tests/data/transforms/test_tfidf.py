"""Columns of text as weighted words."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from hpo.data.source import Source
from hpo.data.transforms.tfidf import fit_words, packed, unpacked, words_of
from hpo.data.transforms.transform import FittedTransform, fit_transform
from hpo.spec.sections.columns import Columns


def texts(found, order):
    """A source of one text column; `order` gives the text of each row, -1 for an empty cell."""
    codes = np.array(order, np.int32)[:, None]
    return Source(
        x=np.zeros((len(codes), 0)),
        y=np.arange(len(codes), dtype=np.float64),
        target="t.csv",
        categories=codes,
        text_names=("review",),
        values=(tuple(found),),
    )


def sentences(count, seed):
    rng = random.Random(seed)
    words = [
        "The",
        "the",
        "Kino",
        "war",
        "war",
        "good-ish",
        "don't",
        "Ärger",
        "я",
        "люблю",
        "很好",
        "吃",
        "x",
        "2024",
        "v2",
    ]
    return [" ".join(rng.choices(words, k=rng.randrange(9))) for _ in range(count)]


@pytest.mark.parametrize("features", [3, 1000])
def test_weights_are_those_of_scikit_learn(features):
    train, other = sentences(50, 0), [*sentences(20, 1), "unheard words"]
    oracle = TfidfVectorizer(max_features=features).fit(train)
    by_name = {"review": {"type": "text", "features": features}}
    columns = Columns(by_name=by_name)
    fitted = fit_transform(texts(train, range(50)), "standard", columns=columns)
    stored = FittedTransform.from_arrays(fitted.to_arrays())
    for some in (train, other):
        found = stored.apply(texts(some, range(len(some))))
        np.testing.assert_allclose(found, oracle.transform(some).toarray(), atol=1e-6)


def test_an_empty_cell_is_a_text_without_words():
    columns = Columns(by_name={"review": {"type": "text"}})
    source = texts(["so good", "so bad"], [0, 1, 1, -1])
    found = fit_transform(source, "none", columns=columns).apply(source)
    np.testing.assert_array_equal(found[3], 0)
    np.testing.assert_allclose(np.linalg.norm(found[:3], axis=1), 1, rtol=1e-6)
    vectorizer = TfidfVectorizer().fit(["so good", "so bad", "so bad", ""])
    np.testing.assert_allclose(found[0], vectorizer.transform(["so good"]).toarray()[0], rtol=1e-6)


@given(st.text())
def test_words_are_those_of_scikit_learn(text):
    assert words_of(text) == TfidfVectorizer().build_analyzer()(text)


def test_a_word_of_other_rows_is_no_feature():
    words, _ = fit_words(["a good film"], 10)
    assert words == ["film", "good"]


@given(st.lists(st.text()))
def test_texts_can_be_stored_without_objects(found):
    data, ends = packed(found)
    assert (data.dtype, unpacked(data, ends)) == (np.uint8, found)
