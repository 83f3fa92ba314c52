"""Alternatives of words from a file."""

from __future__ import annotations

import pytest

from hpo.data.text.other_words import read_other_words
from hpo.data.text.text_fit import fit_texts
from hpo.errors import DataError
from hpo.spec.sections.columns import Text

TEXTS = ["good good good film", "great great fine film film film film"]


@pytest.fixture
def read(tmp_path):
    def read(lines, **leaves):
        spec = Text(**{"stop_words": (), "vectors": "ids", "tokens": "words", **leaves})
        fit = fit_texts(TEXTS, spec, "review")
        (tmp_path / "synonyms.tsv").write_text(lines, encoding="utf-8")
        found = read_other_words(tmp_path / "synonyms.tsv", fit, "augment.synonyms.file")
        named = dict(enumerate(fit.vocabulary, 2))
        rows = {
            named[own]: [named[other] for other in found.words[own, :count]]
            for own, count in enumerate(found.counts)
            if count
        }
        return rows, found

    return read


def test_the_words_of_the_vocabulary_have_the_alternatives_that_it_has(read):
    lines = "good\tgreat\tfine\tvery good\tsplendid\tgood\n\nunknown\tgood\nGreat\tgood\tGOOD\n"
    rows, found = read(lines)
    assert rows == {"good": ["great", "fine"], "great": ["good"]}
    assert found.skipped == 1, "only an alternative of several tokens counts as skipped"
    assert found.words.shape == (6, 2)
    assert {*found.counts[:2]} == {0}, "padding and unknown tokens have none"


def test_a_word_in_two_lines_has_the_alternatives_of_both(read):
    assert read("good\tgreat\ngood\tfine\tgreat\n")[0] == {"good": ["great", "fine"]}


@pytest.mark.parametrize(
    ("lines", "leaves", "message"),
    [
        ("\n \n", {}, r"augment\.synonyms\.file: .*synonyms\.tsv: is empty: write a word"),
        ("house\thome\n", {}, r"has no word of the 4 in the vocabulary, such as '?film'?"),
        ("good\tvery good\n", {}, r"has no word of the 4 in the vocabulary"),
        ("a\tb\n", {"tokens": "characters"}, r"replaces words, and the tokens .* are characters"),
    ],
)
def test_a_file_that_helps_no_word_is_refused(read, lines, leaves, message):
    with pytest.raises(DataError, match=message) as caught:
        read(lines, **leaves)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_one_of_another_encoding_are_refused(read, tmp_path):
    fit = fit_texts(TEXTS, Text(stop_words=(), vectors="ids", tokens="words"), "review")
    with pytest.raises(DataError, match=r"there is no file .*none\.tsv: correct the path"):
        read_other_words(tmp_path / "none.tsv", fit, "augment.synonyms.file")
    (tmp_path / "gbk.tsv").write_bytes("好\t很".encode("gbk"))
    with pytest.raises(DataError, match="cannot be read as UTF-8"):
        read_other_words(tmp_path / "gbk.tsv", fit, "augment.synonyms.file")
