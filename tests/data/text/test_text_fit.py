"""Texts as features, beside scikit-learn's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from hpo.data.text.text_fit import FIRST_ID, TextFit, fit_texts
from hpo.data.text.tokens import runs, tokenizer
from hpo.errors import DataError
from hpo.spec.sections.columns import Text
from tests.data.text.samples import CHINESE, ENGLISH, most_frequent, sentences

REAL_DATA = Path(__file__).parents[4] / "shared" / "data"


def fit(texts, **leaves):
    return fit_texts(texts, Text(**{"stop_words": (), **leaves}), "review")


@pytest.mark.parametrize("vectors", ["tfidf", "counts"])
@pytest.mark.parametrize(
    ("leaves", "options"),
    [
        ({}, {}),
        ({"lower": False, "features": 5}, {"lowercase": False}),
        ({"ngrams": [1, 3], "features": 40}, {"ngram_range": (1, 3)}),
        ({"shortest": 1, "ngrams": [2, 2]}, {"token_pattern": r"\b\w+\b", "ngram_range": (2, 2)}),
        (
            {"stop_words": ("the", "was"), "ngrams": [1, 2]},
            {"stop_words": ["the", "was"], "ngram_range": (1, 2)},
        ),
        (
            {"tokens": "characters", "punctuation": "keep", "ngrams": [1, 2]},
            {"analyzer": "char", "ngram_range": (1, 2)},
        ),
    ],
)
@pytest.mark.parametrize(("words", "separator"), [(ENGLISH, " "), (CHINESE, "")])
def test_features_are_those_of_scikit_learn(vectors, leaves, options, words, separator):
    train, other = (sentences(40, seed, words, separator) for seed in (0, 1))
    kind = TfidfVectorizer if vectors == "tfidf" else CountVectorizer
    oracle = most_frequent(kind, train, leaves.get("features", 1000), **options)
    found = fit(train, vectors=vectors, **{"tokens": "words", **leaves})
    stored = TextFit.from_arrays(found.to_arrays())
    assert list(stored.vocabulary) == oracle.get_feature_names_out().tolist()
    for some in (train, other):
        expected = oracle.transform(some).toarray()
        np.testing.assert_allclose(stored.apply(some), expected, atol=1e-6)


@pytest.mark.parametrize("tokens", ["bytes", "bpe", "jieba"])
def test_runs_of_any_tokens_are_counted_as_scikit_learn_counts_them(tokens):
    pytest.importorskip({"bpe": "tokenizers", "jieba": "jieba"}.get(tokens, "re"))
    train, other = (sentences(30, seed, CHINESE, "") for seed in (0, 1))
    found = fit(train, tokens=tokens, ngrams=[1, 2], features=50, vocabulary=270)
    cut = tokenizer(found.spec, merges=found.merges)
    separator = "" if tokens == "bytes" else " "
    oracle = most_frequent(
        TfidfVectorizer, train, 50, analyzer=lambda text: runs(cut(text), (1, 2), separator)
    )
    stored = TextFit.from_arrays(found.to_arrays())
    np.testing.assert_allclose(stored.apply(other), oracle.transform(other).toarray(), atol=1e-6)


def test_chinese_is_read_by_characters_and_english_by_words():
    assert fit(["味道很好", "ok 太慢了"]).spec.tokens == "characters"
    assert fit(["a good 很 film", "bad"]).spec.tokens == "words"


@given(st.lists(st.text(), min_size=1), st.lists(st.text()))
def test_a_row_has_the_same_features_beside_any_others(texts, others):
    found = fit(["so good", "so bad"])
    beside = found.apply([*others, *texts, *others])
    np.testing.assert_array_equal(beside[len(others) :][: len(texts)], found.apply(texts))


def test_a_text_of_unknown_tokens_is_zeros():
    np.testing.assert_array_equal(fit(["so good", "so bad"]).apply(["unheard of", ""]), 0)


def test_texts_without_a_token_are_refused():
    with pytest.raises(DataError, match="review: no training row has a token once its text is cle"):
        fit(["the", "The!"], stop_words=("the",))


def test_of_equally_frequent_tokens_the_first_in_sorted_order_has_the_first_id():
    texts = [f"{word} {word} once{word}" if word % 3 else f"{word}" for word in range(100, 200)]
    found = fit(texts, vectors="ids", vocabulary=150)
    twice, once = [str(n) for n in range(100, 200) if n % 3], [str(n) for n in range(102, 200, 3)]
    once = sorted([*once, *(f"once{n}" for n in range(100, 200) if n % 3)])
    assert list(found.vocabulary) == [*twice, *once][:150]


def test_ids_are_tokens_in_order_and_zeros_after_the_end():
    found = fit(["good film", "good good bad"], vectors="ids", length=3, vocabulary=2)
    assert (found.vocabulary, found.ids) == (("good", "bad"), 4)
    ids = TextFit.from_arrays(found.to_arrays()).apply(["bad good", "film unheard good bad", ""])
    assert ids.dtype == np.int32
    assert ids.tolist() == [[3, 2, 0], [1, 1, 2], [0, 0, 0]]


@pytest.mark.parametrize("tokens", ["characters", "bytes", "bpe"])
@given(data=st.data())
def test_ids_decode_to_the_text(tokens, data):
    if tokens == "bpe":
        pytest.importorskip("tokenizers", reason="the extra text is not installed")
    known = "".join([*ENGLISH, *CHINESE]) + " "
    leaves = {"tokens": tokens, "vectors": "ids", "length": 200, "vocabulary": 270}
    found = fit([known], lower=False, punctuation="keep", **leaves)
    letters = st.sampled_from(known) if tokens == "characters" else st.characters(codec="utf-8")
    text = " ".join(data.draw(st.text(letters, max_size=40)).split())
    ids = found.apply([text])[0]
    assert 1 not in ids
    decoded = "".join(found.vocabulary[number - FIRST_ID] for number in ids if number)
    assert text == (decoded if tokens == "characters" else decoded.encode("latin-1").decode())


@given(st.lists(st.text(), min_size=1), st.integers(1, 9))
def test_more_places_only_add_padding(texts, length):
    short, long = (
        fit(["so good", "so bad"], vectors="ids", length=places).apply(texts)
        for places in (length, length + 10)
    )
    np.testing.assert_array_equal(long[:, :length], short)
    np.testing.assert_array_equal(long[(short == 0).any(axis=1), length:], 0)


def rows_of(file, column, count=400):
    """Every few rows of a column of a real table."""
    path = REAL_DATA / file
    if not path.is_file():
        pytest.skip(f"needs {file}")
    table = pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",", header=None, dtype=str)
    texts = table[column].dropna().tolist()[1:]
    return texts[:: len(texts) // count]


@pytest.mark.parametrize("vectors", ["tfidf", "counts"])
def test_features_of_english_and_chinese_files_are_those_of_scikit_learn(vectors):
    kind = TfidfVectorizer if vectors == "tfidf" else CountVectorizer
    english, chinese = rows_of("sst2/train.tsv", 0), rows_of("waimai/waimai_10k.csv", 1)
    for texts, leaves, options in (
        (english, {"ngrams": [1, 2]}, {"ngram_range": (1, 2)}),
        (chinese, {"punctuation": "keep"}, {"analyzer": "char"}),
    ):
        oracle = most_frequent(kind, texts[::2], 500, **options)
        found = fit(texts[::2], vectors=vectors, features=500, **leaves)
        expected = oracle.transform(texts).toarray()
        np.testing.assert_allclose(found.apply(texts), expected, atol=1e-6)
