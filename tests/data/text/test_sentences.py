"""What is a sentence, and what is a name."""

from __future__ import annotations

import pytest

from hpo.data.text.sentences import are_sentences, is_without_spaces


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["a film that I liked", "not my kind of film", "no"], True),
        (["味道很好，送得快", "太慢了太慢了", "好"], True),
        (["Ada Lovelace", "Alan M. Turing", "G. H. Hardy"], False),
        (["欧阳娜娜", "王小明", "李雷"], False),
        (["id-1", "id-2"], False),
        ([], False),
    ],
)
def test_sentences_have_more_words_than_names(texts, found):
    assert are_sentences(iter(texts)) == found


def test_a_script_is_that_of_most_letters():
    assert is_without_spaces(["ok 味道很好", "2024 !!!"])
    assert is_without_spaces(["とてもおいしい", "อร่อยมาก"])
    assert not is_without_spaces(["Ärger, люблю", "很好 is good"])
    assert not is_without_spaces(["123"])
