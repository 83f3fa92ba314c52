"""Texts before they are cut into tokens."""

from __future__ import annotations

import pytest

from hpo.data.text.cleaning import cleaned


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("Don't STOP -- now!", "don't stop -- now!", "don t stop now "),
        ("味道很好，ＯＫ！（真的）", "味道很好，ｏｋ！（真的）", "味道很好 ｏｋ 真的 "),
        ("snake_case 5€ नमस्ते", "snake_case 5€ नमस्ते", "snake_case 5 नमस्ते"),
    ],
)
def test_punctuation_of_any_script_becomes_spaces(text, before, after):
    assert cleaned(text, lower=True, punctuation="keep") == before
    assert cleaned(text, lower=True, punctuation="remove") == after


def test_capital_letters_may_stay():
    assert cleaned("So  GOOD", lower=False, punctuation="keep") == "So GOOD"
