"""The text columns of a table as features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from hpo.data.transforms.transform import FittedTransform, fit_transform
from hpo.errors import DataError
from hpo.spec.sections.columns import Columns, Text
from tests.data.text.samples import most_frequent, sentences, texts_source

TEXT = Columns(by_name={"review": {"type": "text"}})


@pytest.mark.parametrize("features", [3, 1000])
def test_weights_are_those_of_scikit_learn(features):
    train, other = sentences(50, 0), [*sentences(20, 1), "unheard words"]
    oracle = most_frequent(TfidfVectorizer, train, features)
    by_name = {"review": {"type": "text", "features": features}}
    columns = Columns(by_name=by_name)
    fitted = fit_transform(texts_source(train), "standard", columns=columns)
    stored = FittedTransform.from_arrays(fitted.to_arrays())
    for some in (train, other):
        found = stored.apply(texts_source(some))
        np.testing.assert_allclose(found, oracle.transform(some).toarray(), atol=1e-6)


def test_an_empty_cell_is_a_text_without_words():
    source = texts_source(["so good", "so bad"], [0, 1, 1, -1])
    found = fit_transform(source, "none", columns=TEXT).apply(source)
    np.testing.assert_array_equal(found[3], 0)
    np.testing.assert_allclose(np.linalg.norm(found[:3], axis=1), 1, rtol=1e-6)
    vectorizer = TfidfVectorizer().fit(["so good", "so bad", "so bad", ""])
    np.testing.assert_allclose(found[0], vectorizer.transform(["so good"]).toarray()[0], rtol=1e-6)


def test_a_column_may_have_fewer_features_than_the_others():
    source = texts_source(["so good", "so bad"])
    two = replace(
        source,
        categories=np.repeat(source.categories, 2, axis=1),
        text_names=("review", "title"),
        values=source.values * 2,
    )
    by_name = {"review": {"type": "text"}, "title": {"type": "text", "features": 1}}
    fitted = fit_transform(
        two, "none", columns=Columns(by_name=by_name), text=Text(features=2, stop_words=())
    )
    assert fitted.apply(two).shape == (2, 3)


def test_very_many_sentences_are_text_and_few_are_categories():
    many = [f"the number of this row is {row}" for row in range(1001)]
    found = fit_transform(texts_source(many), "none", columns=Columns())
    assert found.has_texts
    assert not fit_transform(texts_source(many[:9]), "none", columns=Columns()).has_texts
    ordinal = Columns(encode="ordinal")
    assert not fit_transform(texts_source(many), "none", columns=ordinal).has_texts


def test_a_column_without_a_token_is_refused_by_its_name():
    source = texts_source(["a", "!!", "b ?"])
    with pytest.raises(DataError, match=r"text: column 'review': no training row has a token"):
        fit_transform(source, "none", columns=TEXT)


def test_ids_are_for_one_column_of_text_alone():
    source, ids = texts_source(["so good", "so bad"]), Text(vectors="ids", stop_words=())
    found = fit_transform(source, "standard", columns=TEXT, text=ids)
    assert (found.apply(source).dtype, found.ids) == (np.int32, 5)
    wide = replace(source, x=np.ones((2, 1)), names=("age",))
    with pytest.raises(DataError, match="alone, and there are 'age', 'review': list"):
        fit_transform(wide, "standard", columns=TEXT, text=ids)
