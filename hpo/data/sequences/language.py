"""A text as a data set: rows are pieces of it, whose targets are one token later."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from hpo.data.dataset import SPLITS, DataSet, Split
from hpo.data.sequences.windows import Part, Windows
from hpo.data.source import Source
from hpo.data.split import split_sizes
from hpo.data.text.bpe import bpe_tokens, bpe_vocabulary, fit_merges
from hpo.data.transforms.transform import FittedTransform
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec, TextFile
from hpo.spec.words import count_text

_BYTES = np.arange(256, dtype=np.int32)


def text_data(spec: DataSpec, source: Source) -> DataSet:
    """The data set of a text: the first part trains, the next validates, the last is the test.

    Tokens are those of the training part, and numbered as it has them. A row is `length` tokens,
    and the next row begins where it ends. So each token of a split is a target once, but for the
    first one and those at the end.

    Raises:
        DataError: for a text that is too short, or whose training part has one token alone.
    """
    text = spec.dataset
    assert isinstance(text, TextFile)
    parts = [source.y[part] for part in text_parts(spec, source)]
    tokens = _pairs(text, parts) if text.tokens == "bpe" else _codes(text, parts, source.target)
    windows, counts = pieces(tokens.numbers, text.length, source.target)
    rows = [slice(*ends) for ends in pairwise(accumulate(counts, initial=0))]
    splits = [Split(windows, one) for one in rows]
    return DataSet(
        task="language",
        train=splits[0],
        validation=splits[1],
        test=splits[2] if len(splits) > 2 else None,
        outputs=len(tokens.sizes),
        fingerprint=_fingerprint(text, parts),
        classes=tokens.names,
        notes=tokens.notes,
        transform=FittedTransform(more={**tokens.fit, "token_bytes": tokens.sizes}),
    )


def text_parts(spec: DataSpec, source: Source) -> list[slice]:
    """The codes of each split of a text: training, validation and, if there is one, test."""
    sizes = split_sizes(spec, len(source), has_own_test=False, classes=0)
    ends = accumulate((sizes.left_out, sizes.train, sizes.validation, sizes.test))
    return [slice(*two) for two in pairwise(ends) if two[1] > two[0]]


def numbers_of(codes: np.ndarray, text: TextFile, transform: FittedTransform) -> np.ndarray:
    """The tokens of another text, by its code points or bytes, numbered as the training's, int32.

    A character that the training part lacks has the number after theirs.
    """
    if text.tokens == "bpe":
        merges = transform.more["merges"]
        places = {token: place for place, token in enumerate(bpe_vocabulary(merges))}
        cut = bpe_tokens(merges)(_text_of(codes))
        return np.array([places[token] for token in cut], np.int32)
    return _numbered(codes, transform.more["token_code"])[0]


class _Tokens(NamedTuple):
    """The tokens of a text: their numbers in each part, and what is known of each number."""

    numbers: Sequence[np.ndarray]
    sizes: np.ndarray  # the bytes of each token, float64
    fit: dict[str, np.ndarray]  # the arrays from which the tokens of other texts follow
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def _codes(text: TextFile, parts: Sequence[np.ndarray], name: str) -> _Tokens:
    """The characters of the training part, or all bytes."""
    known = _BYTES if text.tokens == "bytes" else np.unique(parts[0]).astype(np.int32)
    if len(known) < 2:
        raise DataError(
            f"{name}: has no two different {text.tokens} to train on: give another text."
        )
    numbers, new = _numbered(np.concatenate(parts), known)
    names = tuple(map(chr, known)) if text.tokens == "characters" else ()
    return _Tokens(
        np.split(numbers, [*accumulate(map(len, parts))][:-1]),
        _byte_lengths(text, known, new),
        {"token_code": known},
        (*names, "") if new else names,
        _told(text, new),
    )


def _pairs(text: TextFile, parts: Sequence[np.ndarray]) -> _Tokens:
    """Frequent parts of words and whole words of the training part, by byte pair encoding."""
    texts = [*map(_text_of, parts)]
    merges = fit_merges(texts[:1], text.vocabulary, "data.dataset.vocabulary")
    cut, vocabulary = bpe_tokens(merges), bpe_vocabulary(merges)
    places = {token: place for place, token in enumerate(vocabulary)}
    numbers = [np.array([places[token] for token in cut(one)], np.int32) for one in texts]
    return _Tokens(numbers, np.array([*map(len, vocabulary)], np.float64), {"merges": merges})


def _text_of(codes: np.ndarray) -> str:
    return codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def _numbered(codes: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """The number of each token, and the codes that are not known, which all have the last one."""
    numbers = np.searchsorted(known, codes)
    is_new = known[np.minimum(numbers, len(known) - 1)] != codes
    numbers[is_new] = len(known)
    return numbers.astype(np.int32), codes[is_new].tolist()


def pieces(tokens: Sequence[np.ndarray], length: int, name: str) -> tuple[Windows, list[int]]:
    """The rows of all splits, one after the other, and how many each split has.

    Raises:
        DataError: for a split that is shorter than a row.
    """
    starts, counts, first = [], [], 0
    for split, size in zip(SPLITS, map(len, tokens), strict=False):
        # The last token of a split is a target alone.
        own = np.arange(first, first + size - length, length, dtype=np.int32)
        if not len(own):
            raise DataError(
                f"{name}: the {split} split has {count_text(size, 'token')}, too few for a row of "
                f"{length} and the one after it: make data.dataset.length or the other splits "
                "smaller."
            )
        starts.append(own)
        counts.append(len(own))
        first += size
    parts = (Part("x", 0, length), Part("y", 1, length))
    return Windows(np.concatenate(tokens), np.concatenate(starts), parts), counts


def _byte_lengths(text: TextFile, known: np.ndarray, new: list[int]) -> np.ndarray:
    """The bytes of each token in UTF-8; those that are not known have their mean."""
    if text.tokens == "bytes":
        return np.ones(len(known))
    lengths = [_utf8_lengths(known)]
    if new:
        lengths.append(_utf8_lengths(np.array(new)).mean(keepdims=True))
    return np.concatenate(lengths)


def _utf8_lengths(codes: np.ndarray) -> np.ndarray:
    return 1.0 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000)


def _told(text: TextFile, new: list[int]) -> tuple[str, ...]:
    if not new:
        return ()
    different = count_text(len({*new}), "character")
    return (
        f"{text.text}: {different} of validation and test do not occur in the training part: "
        f"they are one token, at {count_text(len(new), 'place')}.",
    )


def _fingerprint(text: TextFile, parts: list[np.ndarray]) -> str:
    vocabulary = (text.vocabulary,) if text.tokens == "bpe" else ()
    digest = hashlib.sha256(repr((text.tokens, text.length, *vocabulary)).encode())
    for part in parts:
        digest.update(f"{part.dtype.str}{part.shape}".encode())
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()
