"""Alternatives of words from a file."""

from __future__ import annotations

from itertools import pairwise

import pytest
from pydantic import ValidationError

from hpo.data.text.synonyms import read_synonyms
from hpo.data.text.text_fit import TextFit, fit_texts
from hpo.errors import DataError
from hpo.spec.sections.columns import Text

TEXTS = ["good good good film", "great great fine film film film film"]


@pytest.fixture
def read(tmp_path):
    def read(lines, **leaves):
        """The alternatives of each word by the fit of texts that a file of these lines is for."""
        (tmp_path / "s.tsv").write_text(lines, encoding="utf-8")
        spec = {"stop_words": (), "vectors": "ids", "synonyms": "s.tsv", **leaves}
        fit = fit_texts(TEXTS, Text(**spec), "review", tmp_path)
        fit = TextFit.from_arrays(fit.to_arrays())
        named = dict(enumerate(fit.vocabulary, 2))
        starts = fit.synonyms[: fit.ids + 1]
        assert len(fit.synonyms) == starts[-1], "the words come after the places where they start"
        return {
            named.get(own, own): [named[other] for other in fit.synonyms[start:end]]
            for own, (start, end) in enumerate(pairwise(starts))
            if end > start
        }

    return read


def test_the_words_of_the_vocabulary_have_the_alternatives_that_it_has(read):
    lines = "good\tgreat\tfine\tvery good\tsplendid\tgood\n\nunknown\tgood\nGreat\tgood\tGOOD\n"
    assert read(lines) == {"good": ["great", "fine"], "great": ["good"]}


def test_a_word_in_two_lines_has_the_alternatives_of_both(read):
    assert read("good\tgreat\ngood\tfine\tgreat\n") == {"good": ["great", "fine"]}


def test_characters_have_alternatives_too(read):
    assert read("o\ta\te\n", tokens="characters") == {"o": ["a", "e"]}


def test_a_fit_of_features_reads_no_file():
    assert fit_texts(TEXTS, Text(stop_words=(), synonyms="none.tsv"), "review").synonyms is None


def test_words_that_sound_alike_are_in_a_file_of_their_own(tmp_path):
    (tmp_path / "s.tsv").write_text("good\tgreat\n")
    (tmp_path / "h.tsv").write_text("great\tgood\n")
    spec = Text(stop_words=(), vectors="ids", synonyms="s.tsv", homophones="h.tsv")
    fit = fit_texts(TEXTS, spec, "review", tmp_path)
    own = {word: number for number, word in enumerate(fit.vocabulary, 2)}
    assert fit.synonyms[-1] == own["great"]
    assert fit.homophones[-1] == own["good"]
    (tmp_path / "h.tsv").write_text("")
    with pytest.raises(DataError, match=r"data\.text\.homophones: \S+h\.tsv: has no word"):
        fit_texts(TEXTS, spec, "review", tmp_path)


@pytest.mark.parametrize("tokens", ["bpe", "bytes"])
def test_parts_of_words_have_none(tokens):
    with pytest.raises(ValidationError, match=rf"whole words, and tokens: {tokens} are parts"):
        Text(synonyms="s.tsv", tokens=tokens)


@pytest.mark.parametrize("lines", ["", "\n \n", "house\thome\n", "good\tvery good\n", "good great"])
def test_a_file_that_helps_no_word_is_refused_in_a_sentence(read, lines):
    message = r"data\.text\.synonyms: \S+s\.tsv: has no word of the 4 in the vocabulary, such as "
    with pytest.raises(DataError, match=message) as caught:
        read(lines)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_one_of_another_encoding_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"there is no file .*none\.tsv: correct the path"):
        read_synonyms(tmp_path / "none.tsv", {"a": 2}, str.split)
    (tmp_path / "gbk.tsv").write_bytes("好\t很".encode("gbk"))
    with pytest.raises(DataError, match="is not UTF-8: save it as UTF-8"):
        read_synonyms(tmp_path / "gbk.tsv", {"a": 2}, str.split)
