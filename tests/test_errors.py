"""Text as messages show it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.errors import HpoError, SpecError, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "plain text, 1\u00d710\u207b\u00b3 \u00b1 2",
            "plain text, 1\u00d710\u207b\u00b3 \u00b1 2",
        ),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),  # the same escape in one character
        ("hidden\rshown\x08\x7f\x00", r"hidden\rshown\x08\x7f\x00"),
        ("exe.\u202egnp", r"exe.\u202egnp"),
        ("a\u2066b\u2069\u200f\u061c", r"a\u2066b\u2069\u200f\u061c"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("\udcff", r"\udcff"),  # a byte of a file's name that is not UTF-8
        ("\U000e0041", r"\U000e0041"),
        (
            "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
    ],
)
def test_control_characters_and_direction_marks_are_shown(text, shown):
    assert visible(text) == shown
    assert visible(shown) == shown


@given(st.text(st.characters(codec=None)))
def test_visible_text_can_be_printed_anywhere_and_has_no_controls(text):
    shown = visible(text)
    shown.encode()  # no half of a pair of surrogates
    assert not {unicodedata.category(one) for one in shown if one not in "\n\t"} & {
        "Cc",
        "Zl",
        "Zp",
    }


def test_no_error_carries_a_control_character_to_whatever_prints_it():
    assert str(HpoError("study '\x1b[2J'\nand\tmore")) == r"study '\x1b[2J'\nand\tmore"
    error = SpecError(["a: \x1b", "b"])
    assert (str(error), error.mistakes) == ("a: \\x1b\nb", ["a: \\x1b", "b"])
