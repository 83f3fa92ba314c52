"""Words that are left out of texts."""

from __future__ import annotations

import pytest
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from hpo.data.text.stop_words import with_stop_words
from hpo.errors import DataError
from hpo.spec.sections.columns import Text


def test_the_english_ones_are_those_of_scikit_learn(tmp_path):
    found = with_stop_words(Text(stop_words="english"), tmp_path).stop_words
    assert {*found} == ENGLISH_STOP_WORDS


def test_a_list_and_a_file_have_their_own_words(tmp_path):
    (tmp_path / "words.txt").write_text("\ufeff的\n\n了 \nDer\n", "utf-8")
    for named in (["的", "了", "Der"], "words.txt"):
        assert with_stop_words(Text(stop_words=named), tmp_path).stop_words == ("的", "了", "der")
    kept = with_stop_words(Text(stop_words="words.txt", lower=False), tmp_path)
    assert kept.stop_words == ("的", "了", "Der")
    assert with_stop_words(Text(), tmp_path).stop_words == ()


@pytest.mark.parametrize(
    ("named", "content", "told"),
    [
        ("englisch", None, r"'englisch' cannot be read \(No such file or directory\): write engl"),
        ("w.txt", b"\n \n", "holds no word"),
        ("w.txt", b"\xff\xfe", "is not UTF-8"),
        ("a\0b", None, "cannot be read"),
    ],
)
def test_a_file_that_holds_no_words_is_refused(tmp_path, named, content, told):
    if content is not None:
        (tmp_path / named).write_bytes(content)
    with pytest.raises(DataError, match=f"data.text.stop_words: .*{told}"):
        with_stop_words(Text(stop_words=named), tmp_path)
