"""Stems and lemmas, beside the libraries' own."""

from __future__ import annotations

from typing import get_args

import pytest

from hpo.data.text.reduce import LEMMA_CODES, reducer
from hpo.data.text.tokens import tokenizer
from hpo.errors import DataError
from hpo.spec.sections.columns import Language, Text

snowball = pytest.importorskip("snowballstemmer", reason="the extra text is not installed")
simplemma = pytest.importorskip("simplemma", reason="the extra text is not installed")

WORDS = {
    "english": ["running", "films", "the", "better", "was"],
    "german": ["häuser", "lief", "die", "gute"],
    "russian": ["люблю", "фильмы"],
}


@pytest.mark.parametrize("language", WORDS)
def test_words_become_what_the_libraries_say(language):
    stem, lemma = (reducer(Text(reduce=how, language=language)) for how in ("stem", "lemma"))
    stemmer, code = snowball.stemmer(language), language[:2].replace("ge", "de")
    for word in WORDS[language]:
        assert stem(word) == stemmer.stemWord(word)
        assert lemma(word) == simplemma.lemmatize(word, lang=code)
    assert any(stem(word) != word for word in WORDS[language])


def test_stop_words_are_compared_before_words_are_reduced():
    tokens = tokenizer(Text(tokens="words", reduce="stem"), ("films",))
    assert tokens("Films, running film") == ["run", "film"]


def test_every_language_has_stems_or_lemmas():
    from simplemma.strategies.dictionaries.dictionary_factory import SUPPORTED_LANGUAGES

    old = {"dutch_porter", "porter"}
    assert {*get_args(Language)} == ({*snowball.algorithms()} - old) | LEMMA_CODES.keys()
    assert {*LEMMA_CODES.values()} == {*SUPPORTED_LANGUAGES}


@pytest.mark.parametrize(
    ("how", "language", "told"),
    [
        ("stem", "latin", "Snowball has no stems of latin: write reduce: lemma"),
        ("lemma", "yiddish", "simplemma has no lemmas of yiddish: write reduce: stem"),
    ],
)
def test_a_language_that_a_library_does_not_know_is_refused(how, language, told):
    with pytest.raises(DataError, match=f"data.text.language: {told}"):
        reducer(Text(reduce=how, language=language))
