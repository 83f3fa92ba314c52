"""Whether the cells of a column are sentences, and whether their script has spaces."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from itertools import islice
from statistics import median

# Scripts that are written without spaces between words, by the first words of their letters' names.
_WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
# Names have fewer words, and fewer letters in such a script.
_FEWEST_WORDS, _FEWEST_LETTERS = 4, 6
_MOST_TEXTS, _MOST_LETTERS = 10_000, 100_000


def are_sentences(texts: Iterable[str]) -> bool:
    """Whether half of different texts have as many words as a short sentence has."""
    some = list(islice(texts, _MOST_TEXTS))
    if not some:
        return False
    if is_without_spaces(some):
        return median(map(len, some)) >= _FEWEST_LETTERS
    return median(len(text.split()) for text in some) >= _FEWEST_WORDS


def is_without_spaces(texts: Iterable[str]) -> bool:
    """Whether most letters of some texts are of a script without spaces between words."""
    letters = without = 0
    for text in texts:
        for letter in filter(str.isalpha, text):
            letters += 1
            without += ord(letter) > 127 and _is_without_spaces(letter)
        if letters >= _MOST_LETTERS:
            break
    return 2 * without > letters


def _is_without_spaces(letter: str) -> bool:
    return unicodedata.name(letter, "").split(" ")[0] in _WITHOUT_SPACES
