"""Words and what may stand in their place, from a file: synonyms, or words that sound alike.

Each line of the file is a word and its alternatives, divided by tabs.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from hpo.data.text.text_fit import PADDING, TextFit
from hpo.errors import DataError
from hpo.spec.words import shown


class OtherWords(NamedTuple):
    """The alternatives of each id.

    Those of an id are the first `counts` ones, int32 `[ids]`, of its row in `words`, int32
    `[ids, most]`; padding follows. `skipped` is the number of alternatives that are no one token.
    """

    words: np.ndarray
    counts: np.ndarray
    skipped: int


def read_other_words(path: Path, fit: TextFit, where: str) -> OtherWords:
    """The alternatives that a file has for the tokens of a fit; `where` is the leaf that names it.

    Words are cleaned as texts are. An alternative that the vocabulary does not have is left out.

    Raises:
        DataError: for tokens that are no words, and a file that cannot be read or helps no token.
    """
    if fit.spec.tokens not in ("words", "jieba"):
        raise DataError(
            f"{where}: replaces words, and the tokens of these texts are {fit.spec.tokens}: write "
            "data.text.tokens: words, or jieba for Chinese."
        )
    found: dict[int, dict[int, None]] = {}
    skipped = 0
    lines = _lines(path, where)
    for word, *others in lines:
        ids = fit.ids_of(word)
        if len(ids) != 1 or not ids[0]:
            continue
        for other in filter(str.strip, others):
            their = fit.ids_of(other)
            skipped += len(their) != 1
            if len(their) == 1 and their[0] not in (None, ids[0]):
                found.setdefault(ids[0], {})[their[0]] = None
    if not found:
        raise DataError(
            f"{where}: {path}: has no word of the {len(fit.vocabulary):,} in the vocabulary, such "
            f"as {shown(fit.vocabulary[0])}, with an alternative in it: give a file of this "
            "language."
        )
    counts = np.zeros(fit.ids, np.int32)
    words = np.full((fit.ids, max(map(len, found.values()))), PADDING, np.int32)
    for own, several in found.items():
        counts[own] = len(several)
        words[own, : len(several)] = list(several)
    return OtherWords(words, counts, skipped)


def _lines(path: Path, where: str) -> list[list[str]]:
    """The fields of each line that is not blank."""
    if not path.is_file():
        raise DataError(f"{where}: there is no file {path}: correct the path.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{where}: {path}: cannot be read as UTF-8 ({error}).") from error
    lines = [line.split("\t") for line in text.splitlines() if line.strip()]
    if not lines:
        raise DataError(
            f"{where}: {path}: is empty: write a word and its alternatives in each line, divided "
            "by tabs."
        )
    return lines
