"""The tokens of texts as an exported model takes them: counted, or their ids in order.

It needs NumPy, and the library of `requirements.txt` for Chinese words, stems or lemmas.
`predict.py` beside it reads it.
"""

from __future__ import annotations

import importlib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

_UNKNOWN, _FIRST = 1, 2  # 0 is the id of places after the end of a text
_SPACES = re.compile(r"\s\s+")
_PARTED = re.compile(r" ?\w{1,64}| ?[^\w\s]{1,64}|\s{1,64}")
_BYTES = 256


def text_input(fit: Mapping[str, Any]) -> Callable[[Sequence[str]], np.ndarray]:
    """The function from texts to an input of the model, by its entry in `schema.json`.

    It gives counts, float32 `[texts, vocabulary]`, or ids, int32 `[texts, length]`.
    """
    tokens_of = _tokens(fit)
    places = {token: place for place, token in enumerate(fit["vocabulary"])}

    def ids(texts: Sequence[str]) -> np.ndarray:
        found = np.zeros((len(texts), fit["length"]), np.int32)
        for row, text in enumerate(texts):
            tokens = tokens_of(text)[: fit["length"]]
            own = [places.get(token, _UNKNOWN - _FIRST) + _FIRST for token in tokens]
            found[row, : len(own)] = own
        return found

    def counts(texts: Sequence[str]) -> np.ndarray:
        found = np.zeros((len(texts), len(places)), np.float32)
        for row, text in enumerate(texts):
            for token in tokens_of(text):
                if token in places:
                    found[row, places[token]] += 1
        return found

    return ids if fit["vectors"] == "ids" else counts


def _tokens(fit: Mapping[str, Any]) -> Callable[[str], list[str]]:
    """The function from a text to its tokens, or runs of them."""
    cut, stop_words, reduced = _cut(fit), frozenset(fit["stop_words"]), _reduced(fit)
    shortest, longest = (1, 1) if fit["vectors"] in ("ids", "mean") else fit["ngrams"]
    between = "" if fit["tokens"] in ("characters", "bytes") else " "

    def tokens(text: str) -> list[str]:
        found = cut(_cleaned(text, fit))
        if stop_words and fit["tokens"] in ("words", "jieba"):
            found = [word for word in found if word not in stop_words]
        found = found if reduced is None else [*map(reduced, found)]
        return [
            between.join(found[start : start + length])
            for length in range(shortest, longest + 1)
            for start in range(len(found) - length + 1)
        ]

    return tokens


def _cleaned(text: str, fit: Mapping[str, Any]) -> str:
    text = text.lower() if fit["lower"] else text
    if fit["punctuation"] == "remove":
        text = "".join(" " if _is_mark(letter) else letter for letter in text)
    return _SPACES.sub(" ", text)


def _is_mark(letter: str) -> bool:
    is_word = letter.isalnum() or letter == "_"
    return not is_word and unicodedata.category(letter)[0] in "PS"


def _cut(fit: Mapping[str, Any]) -> Callable[[str], list[str]]:
    kind = fit["tokens"]
    if kind == "characters":
        return list
    if kind == "bytes":
        return lambda text: list(_byte_text(text))
    if kind == "bpe":
        return bpe_parts(fit["merges"])
    if kind == "jieba":
        # Only Chinese words need it.
        cutter: Any = importlib.import_module("jieba").Tokenizer()
        # By itself jieba reads a file in the folder for temporary files, which others may write.
        cutter.FREQ, cutter.total = cutter.gen_pfdict(cutter.get_dict_file())
        cutter.initialized = True
        return lambda text: [word for word in cutter.lcut(text) if not word.isspace()]
    word = rf"\b\w{{{fit['shortest']},}}\b"
    return re.compile(word if fit["punctuation"] == "remove" else rf"{word}|[^\w\s]").findall


def _reduced(fit: Mapping[str, Any]) -> Callable[[str], str] | None:
    """The function from a word to its stem or lemma; None where words stay as they are."""
    if fit["reduce"] == "none" or fit["tokens"] != "words":
        return None
    if fit["reduce"] == "stem":
        stemmer: Any = importlib.import_module("snowballstemmer").stemmer(fit["language"])
        return lru_cache(1 << 16)(stemmer.stemWord)
    library: Any = importlib.import_module("simplemma")
    return lru_cache(1 << 16)(lambda word: str(library.lemmatize(word, lang=fit["language"])))


def _byte_text(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def bpe_parts(merges: Sequence[Sequence[int]]) -> Callable[[str], list[str]]:
    """The function from a text to its parts of words, by byte pair encoding."""
    tokens = [chr(byte) for byte in range(_BYTES)]
    known, ranks = {*tokens}, {}
    for place, (left, right) in enumerate(merges):
        ranks[tokens[left], tokens[right]] = place
        joined = tokens[left] + tokens[right]
        if joined not in known:
            tokens.append(joined)
            known.add(joined)
    cache: dict[str, list[str]] = {}

    def parts(text: str) -> list[str]:
        found: list[str] = []
        for word in _PARTED.findall(text):
            if word not in cache:
                if len(cache) > 1 << 16:
                    cache.clear()
                cache[word] = _merged(list(_byte_text(word)), ranks)
            found += cache[word]
        return found

    return parts


def _merged(tokens: list[str], ranks: Mapping[tuple[str, str], int]) -> list[str]:
    while len(tokens) > 1:
        pairs = [*pairwise(tokens)]
        best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        merged, place = [], 0
        while place < len(tokens):
            is_best = place < len(pairs) and pairs[place] == best
            merged.append("".join(best) if is_best else tokens[place])
            place += 1 + is_best
        tokens = merged
    return tokens
