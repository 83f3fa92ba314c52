"""How a file writes a table."""

from pathlib import Path

import pytest

from hpo.data.overview.formats.dialect import decoded, dialect_of
from hpo.errors import DataError


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("a,b,c\n1,2,3\n", ","),
        ("a;b\n1,5;2,5\n3,5;4,5\n", ";"),  # commas part these rows evenly, too
        ('name;x\n"a, b";1\n"c, d";2\n', ";"),
        ("a|b\nx y|z w\n", "|"),
        ("a b c\n1 2 3\n", " "),
        ("text\tlabel\none, two, three\t1\nfour\t0\n", "\t"),
    ],
)
def test_the_separator_is_found(text, separator):
    assert dialect_of(Path("t"), text.encode(), is_whole=True)[0].separator == separator


@pytest.mark.parametrize(
    ("text", "has_header"),
    [
        ("a,b\n1,2\n3,4\n", True),
        ("5,6\n1,2\n3,4\n", False),
        ("red,yes\nblue,no\nred,yes\nred,no\n", False),
        ("colour,answer\nblue,no\nred,yes\n", True),
    ],
)
def test_a_header_is_told_from_data(text, has_header):
    assert dialect_of(Path("t"), text.encode(), is_whole=True)[0].has_header == has_header


@pytest.mark.parametrize("text", ["Jürg,größe,naïve\n", "Ångström,señor\nß,é\n"])
def test_letters_of_western_europe_are_not_taken_for_chinese(text):
    assert decoded(Path("t"), text.encode("cp1252"), is_whole=True) == ("cp1252", text)


def test_a_character_that_a_piece_cuts_off_is_no_mistake():
    data = "a,y\nüß,1\nü".encode()[:-1]
    assert decoded(Path("t"), data, is_whole=False) == ("utf-8", "a,y\nüß,1\n")


def test_bytes_are_refused():
    with pytest.raises(DataError, match="is no text"):
        decoded(Path("t"), b"\x01\0\x02\0", is_whole=True)


def test_running_text_is_no_table():
    text = "\n".join(" ".join(["word"] * (3 + n * 7 % 11)) for n in range(60))
    with pytest.raises(DataError, match="no common number of cells"):
        dialect_of(Path("t"), text.encode(), is_whole=True)
