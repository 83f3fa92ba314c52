"""A running text as the rows that a language model takes."""

from __future__ import annotations

import numpy as np

from hpo.data.dataset import Split
from hpo.data.sequences.language import numbers_of, pieces
from hpo.data.source import Source
from hpo.data.transforms.transform import FittedTransform
from hpo.errors import DataError
from hpo.spec.sections.data import TextFile
from hpo.spec.words import count_text


def token_rows(source: Source, text: TextFile, transform: FittedTransform, known: int) -> Split:
    """The pieces of a text, int32 `[N, length]`, and the tokens that follow each of their places.

    The model knows `known` tokens.

    Raises:
        DataError: for a text that is shorter than a row, or has an unknown token.
    """
    numbers = numbers_of(source.y, text, transform)
    if len(numbers) <= text.length:
        raise DataError(
            f"{source.target}: has {count_text(len(numbers), 'token')}, and a row has "
            f"{text.length}: give a longer text."
        )
    windows, _ = pieces([known_tokens(numbers, known, source.target)], text.length, source.target)
    return Split(windows)


def known_tokens(numbers: np.ndarray, known: int, where: str) -> np.ndarray:
    """Tokens, all of which a model knows.

    Raises:
        DataError: for one that no text of the training had.
    """
    if (numbers >= known).any():
        raise DataError(
            f"{where}: holds a character that the model does not know: it was trained without "
            "any that is new. Remove it, or train on bytes."
        )
    return numbers
