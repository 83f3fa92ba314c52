"""Texts before they are cut into tokens: lowercased, with spaces for punctuation."""

from __future__ import annotations

import re
import unicodedata

_SPACES = re.compile(r"\s\s+")


class _Marks(dict[int, str]):
    """A table for `str.translate`: a space for each punctuation mark and symbol, found when met."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        is_word = letter.isalnum() or letter == "_"
        is_mark = not is_word and unicodedata.category(letter)[0] in "PS"
        self[code] = " " if is_mark else letter
        return self[code]


_MARKS = _Marks()


def cleaned(text: str, *, lower: bool, punctuation: str) -> str:
    """A text, lowercased and without punctuation if asked, with one space for several."""
    text = text.lower() if lower else text
    text = text.translate(_MARKS) if punctuation == "remove" else text
    return _SPACES.sub(" ", text)
