"""Byte pair encoding: texts as frequent parts of words, found in the training rows.

Source: Sennrich et al. 2016, "Neural machine translation of rare words with subword units",
Algorithm 1, on the bytes of UTF-8, so that no text has an unknown part.

The library `tokenizers` finds the merges. They are applied here, as an array: a token is a text
whose characters stand for bytes (Latin-1).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

from hpo.data.text.extras import imported
from hpo.errors import DataError

_BYTES = 256
# A merge never crosses the border of a word, to which the space before it belongs. The time for a
# word grows with the square of its length, so that long ones are cut.
_WORD = re.compile(r" ?\w{1,64}| ?[^\w\s]{1,64}|\s{1,64}")
_WORDS_KEPT = 1 << 17


def byte_text(text: str) -> str:
    """A text whose characters are the bytes of another one."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def fit_merges(texts: Iterable[str], most: int, where: str = "data.text.vocabulary") -> np.ndarray:
    """The merges of pairs of tokens, the most frequent pair first, int32 `[merges, 2]`.

    The tokens are the 256 bytes, and then the result of each merge. There are at most `most`, as
    the key path `where` says.

    Raises:
        DataError: if `tokenizers` is not installed, or `most` leaves no merge.
    """
    if most <= _BYTES:
        raise DataError(
            f"{where}: bpe has a token for each of {_BYTES} bytes, so {most} leave no "
            "merge: write more, or tokens: bytes."
        )
    library = imported("tokenizers", "tokens: bpe")
    # This step writes each byte as a letter that can be printed, as GPT-2 does.
    letters = library.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trained = library.Tokenizer(library.models.BPE())
    trained.pre_tokenizer = letters
    trainer = library.trainers.BpeTrainer(
        vocab_size=most, show_progress=False, initial_alphabet=letters.alphabet()
    )
    trained.train_from_iterator((word for text in texts for word in words_of(text)), trainer)
    merges = json.loads(trained.to_str())["model"]["merges"]
    numbers = {letter: byte for byte, letter in enumerate(_printed())}
    pairs = np.empty((len(merges), 2), np.int32)
    for place, (left, right) in enumerate(merges):
        pairs[place] = numbers[left], numbers[right]
        numbers.setdefault(left + right, len(numbers))
    return pairs


def words_of(text: str) -> list[str]:
    """The words of a text, with the spaces before them; together they are the text."""
    return _WORD.findall(text)


def bpe_tokens(merges: np.ndarray) -> Callable[[str], list[str]]:
    """The function from a text to its tokens, whose bytes are those of the text."""
    ranks = _ranks(merges)

    @lru_cache(maxsize=_WORDS_KEPT)
    def parts(word: str) -> tuple[str, ...]:
        return tuple(_merged(list(byte_text(word)), ranks))

    return lambda text: [part for word in words_of(text) for part in parts(word)]


def bpe_vocabulary(merges: np.ndarray) -> list[str]:
    """Every token: the bytes, then the results of the merges, each once."""
    found = dict.fromkeys(map(chr, range(_BYTES)))
    return [*(found | dict.fromkeys(left + right for left, right in _ranks(merges)))]


def _ranks(merges: np.ndarray) -> dict[tuple[str, str], int]:
    """The place of each pair of tokens that is merged."""
    tokens = [chr(byte) for byte in range(_BYTES)]
    known, ranks = set(tokens), {}
    for place, (left, right) in enumerate(merges.tolist()):
        pair = tokens[left], tokens[right]
        ranks[pair] = place
        if (joined := "".join(pair)) not in known:
            tokens.append(joined)
            known.add(joined)
    return ranks


def _merged(tokens: list[str], ranks: dict[tuple[str, str], int]) -> Sequence[str]:
    """The tokens after all merges, the first of the list of merges first."""
    while len(tokens) > 1:
        pairs = list(pairwise(tokens))
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


def _printed() -> list[str]:
    """The letter that `tokenizers` writes for each byte: itself where it can be printed."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = (chr(256 + number) for number in range(_BYTES))
    return [chr(byte) if byte in plain else next(others) for byte in range(_BYTES)]
