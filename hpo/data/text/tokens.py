"""Texts as tokens: words, characters, bytes, or parts of words."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

import numpy as np

from hpo.data.text.bpe import bpe_tokens, byte_text
from hpo.data.text.chinese import chinese_words
from hpo.data.text.cleaning import cleaned
from hpo.data.text.reduce import reducer
from hpo.spec.sections.columns import Text

# From a cleaned text to its tokens.
Cut = Callable[[str], list[str]]


def tokenizer(
    spec: Text, stop_words: Collection[str] = (), merges: np.ndarray | None = None
) -> Cut:
    """The function from a text to its tokens, by leaves in which `auto` is decided.

    `stop_words` are lowercased if the texts are; `merges` are those of BPE.

    Raises:
        DataError: if a library is not installed, or does not know the language.
    """
    cut = _cut(spec, stop_words, merges)
    return lambda text: cut(cleaned_by(spec, text))


def cleaned_by(spec: Text, text: str) -> str:
    """A text that is cleaned as the leaves say."""
    return cleaned(text, lower=spec.lower, punctuation=spec.punctuation)


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
    return "" if spec.tokens in ("characters", "bytes") else " "


def _cut(spec: Text, stop_words: Collection[str], merges: np.ndarray | None) -> Cut:
    if spec.tokens == "characters":
        return list
    if spec.tokens == "bytes":
        return lambda text: list(byte_text(text))
    if spec.tokens == "bpe":
        assert merges is not None
        return bpe_tokens(merges)
    words = chinese_words if spec.tokens == "jieba" else _words(spec)
    reduced = reducer(spec) if spec.tokens == "words" else None
    if not stop_words and reduced is None:
        return words

    def cut(text: str) -> list[str]:
        found = [word for word in words(text) if word not in stop_words]
        return found if reduced is None else [reduced(word) for word in found]

    return cut


def _words(spec: Text) -> Cut:
    word = rf"\b\w{{{spec.shortest},}}\b"
    # A mark beside a word is a token; a combining mark is neither.
    return re.compile(word if spec.punctuation == "remove" else rf"{word}|[^\w\s]").findall
