"""The part of each word of a text in an answer: the answer without that word, compared.

Source: Li et al. 2016, "Understanding Neural Networks through Representation Erasure"
(arXiv:1612.08220).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hpo.data.source import Source
from hpo.data.transforms.features import Features

# Words of a text that are left out; each needs an answer.
MOST_WORDS = 200
_FIRST_SIGN = "\u2e80"  # of East Asian writing, in Unicode


class WordParts(NamedTuple):
    """The words of a text, and by how much the answer for its row rises by each of them.

    `row` counts from 1. Of more than 200 words the first ones are told.
    """

    row: int
    column: str
    words: tuple[str, ...]
    parts: tuple[float, ...]


def text_columns(features: Features) -> dict[str, int]:
    """The places of the columns that are texts, not categories, by their names."""
    return {
        column.name: place for place, column in enumerate(features.texts) if column.values is None
    }


def word_parts(
    source: Source,
    rows: Sequence[int],
    columns: dict[str, int],
    answers: Callable[[Source, np.ndarray], np.ndarray],
) -> list[WordParts]:
    """The parts of the words in some rows, counted from 0.

    `answers` gives the answer for each example of a source, each of which is a changed copy of the
    row at that place of its second argument.
    """
    found = []
    for row in rows:
        for name, place in columns.items():
            assert source.categories is not None
            code = int(source.categories[row, place])
            words, without = left_out(source.values[place][code]) if code >= 0 else ((), ())
            if not words:
                continue
            texts = [source.values[place][code], *without]
            rises = answers(_with_texts(source, row, place, texts), np.full(len(texts), row))
            parts = tuple((rises[0] - rises[1:]).tolist())
            found.append(WordParts(row + 1, name, words, parts))
    return found


def left_out(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words of a text, and the text without each of them.

    They stand between spaces. A Chinese or Japanese text without spaces has its signs instead.
    """
    spans = [match.span() for match in re.finditer(r"\S+", text)]
    if len(spans) == 1 and max(text) >= _FIRST_SIGN:
        spans = [(place, place + 1) for place in range(*spans[0])]
    spans = spans[:MOST_WORDS]
    words = tuple(text[start:end] for start, end in spans)
    return words, tuple(text[:start] + text[end:] for start, end in spans)


def _with_texts(source: Source, row: int, place: int, texts: Sequence[str]) -> Source:
    """Copies of a row, each with one of these texts in a column."""
    copies = source.take(np.full(len(texts), row))
    assert copies.categories is not None
    categories, values = copies.categories.copy(), list(copies.values)
    categories[:, place] = np.arange(len(texts))
    values[place] = [*texts]
    return replace(copies, categories=categories, values=tuple(values))
