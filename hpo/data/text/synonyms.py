"""What may stand in the place of a word, from a file: synonyms, or words that sound alike.

Each line of the file is a word and its alternatives, divided by tabs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import accumulate
from pathlib import Path

import numpy as np

from hpo.errors import DataError
from hpo.spec.words import shown


def read_synonyms(
    path: Path,
    ids: Mapping[str, int],
    tokens_of: Callable[[str], list[str]],
    field: str = "data.text.synonyms",
) -> np.ndarray:
    """The alternatives of each id up to the last of `ids`, which has that of each known token.

    They are in one array, int32: those of an id `i` are from the place `array[i]` on to the place
    before `array[i + 1]`. Words are cleaned as texts are. Unknown alternatives are left out, and so
    are those that are not one token.

    Raises:
        DataError: for a file that cannot be read, or that has no alternative for any token.
    """
    found: list[dict[int, None]] = [{} for _ in range(max(ids.values()) + 1)]
    for word, *others in _lines(path, field):
        match [ids.get(token) for token in tokens_of(word)]:
            case [int(own)]:
                for other in others:
                    match [ids.get(token) for token in tokens_of(other)]:
                        case [int(their)] if their != own:
                            found[own][their] = None
    if not any(found):
        raise DataError(
            f"{field}: {path}: has no word of the {len(ids):,} in the vocabulary, such as "
            f"{shown(next(iter(ids)))}, with an alternative that is one, too: give a file of this "
            "language, with tabs between words."
        )
    starts = accumulate(map(len, found), initial=len(found) + 1)
    return np.array([*starts, *(other for several in found for other in several)], np.int32)


def _lines(path: Path, field: str) -> list[list[str]]:
    """The words of each line."""
    if not path.is_file():
        raise DataError(f"{field}: there is no file {path}: correct the path.")
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{field}: {path}: is not UTF-8: save it as UTF-8.") from None
    except OSError as error:
        raise DataError(
            f"{field}: {path}: cannot be read ({error.strerror}): correct its permissions."
        ) from None
    return [line.split("\t") for line in text.splitlines()]
