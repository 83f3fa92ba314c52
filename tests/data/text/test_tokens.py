"""Texts as tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from hpo.data.text.tokens import runs, tokenizer
from hpo.spec.sections.columns import Text


def tokens(text, **leaves):
    return tokenizer(Text(**leaves), leaves.get("stop_words", ()))(text)


@given(st.text(), st.sampled_from(["remove", "keep"]))
def test_words_are_those_of_scikit_learn(text, punctuation):
    found = tokens(text, tokens="words", punctuation=punctuation)
    words = [token for token in found if token[0].isalnum() or token[0] == "_"]
    assert words == TfidfVectorizer().build_analyzer()(text)


@pytest.mark.parametrize(
    ("text", "leaves", "found"),
    [
        ("It's NOT good!", {}, ["it", "not", "good"]),
        ("It's NOT good!", {"shortest": 1, "lower": False}, ["It", "s", "NOT", "good"]),
        ("It's good!", {"punctuation": "keep"}, ["it", "'", "good", "!"]),
        ("很好，吃", {"shortest": 1}, ["很好", "吃"]),
        ("很好，吃", {"shortest": 1, "punctuation": "keep"}, ["很好", "，", "吃"]),
        ("很好，吃", {"tokens": "characters"}, ["很", "好", " ", "吃"]),
        ("A  b", {"tokens": "characters", "lower": False}, ["A", " ", "b"]),
        ("a film of the year", {"stop_words": ("of", "the")}, ["film", "year"]),
    ],
)
def test_a_text_is_cut_as_its_leaves_say(text, leaves, found):
    assert tokens(text, **leaves) == found


def test_runs_are_those_of_every_length():
    assert runs(["a", "b", "c"], (1, 2), " ") == ["a", "b", "c", "a b", "b c"]
    assert runs(["a"], (2, 3), "") == []
