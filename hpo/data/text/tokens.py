"""Texts as tokens: words, or characters."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from hpo.data.text.cleaning import cleaned
from hpo.spec.sections.columns import Text

# From a cleaned text to its tokens.
Cut = Callable[[str], list[str]]


def tokenizer(spec: Text, stop_words: Collection[str]) -> Callable[[str], list[str]]:
    """The function from a text to its tokens; `auto` is decided, `stop_words` are in small letters
    if the texts are.
    """
    cut = _cut(spec)

    def tokens(text: str) -> list[str]:
        found = cut(cleaned(text, lower=spec.lower, punctuation=spec.punctuation))
        return [one for one in found if one not in stop_words] if stop_words else found

    return tokens


def runs(tokens: list[str], lengths: tuple[int, int], separator: str) -> list[str]:
    """All runs of tokens of these lengths, each as one text."""
    if lengths == (1, 1):
        return tokens
    return [
        separator.join(tokens[start : start + length])
        for length in range(lengths[0], lengths[1] + 1)
        for start in range(len(tokens) - length + 1)
    ]


def separator_of(spec: Text) -> str:
    """What stands between the tokens of a run."""
    return "" if spec.tokens == "characters" else " "


def _cut(spec: Text) -> Cut:
    if spec.tokens == "characters":
        return list
    word = rf"\b\w{{{spec.shortest},}}\b"
    if spec.punctuation == "remove":
        return re.compile(word).findall
    # A mark beside a word is a token; a combining mark is neither.
    return re.compile(rf"{word}|[^\w\s]").findall
