"""Vectors of words from a file: GloVe's or word2vec's text format, or `.npz`.

GloVe writes a word and its numbers in each line, divided by spaces. word2vec writes the number of
words and that of their numbers before them. An `.npz` file holds the arrays `words` and `vectors`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from hpo.data.files import opened
from hpo.errors import DataError, cut
from hpo.spec.words import shown

_FIELD = "data.text.embeddings"


def read_vectors(path: Path, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of these words, float32 `[words, size]`, and which of them the file has.

    The vector of a word that it does not have is 0. Of a file of any size only these words are in
    memory. A word that occurs twice has its first vector.

    Raises:
        DataError: for a file that cannot be read, vectors of different sizes, or none of the words.
    """
    places = {word: place for place, word in enumerate(words)}
    if not path.is_file():
        raise DataError(f"{_FIELD}: there is no file {path}: correct the path.")
    read = _of_npz if path.suffix == ".npz" else _of_lines
    found = np.zeros((len(words), 0), np.float32)
    is_found = np.zeros(len(words), bool)
    for word, vector in read(path, places):
        place = places[word]
        if not is_found.any():
            found = np.zeros((len(words), len(vector)), np.float32)
        if not is_found[place]:
            found[place], is_found[place] = vector, True
    if not is_found.any():
        raise DataError(
            f"{_FIELD}: {path}: has none of the {len(words):,} training words, such as "
            f"{shown(words[0])}: give vectors of this language, and check data.text.lower."
        )
    if not np.isfinite(found).all():
        place = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
        raise DataError(
            f"{_FIELD}: {path}: the vector of {shown(words[place])} is not finite: correct it."
        )
    return found, is_found


def _of_lines(path: Path, places: Mapping[str, int]) -> Iterator[tuple[str, np.ndarray]]:
    """The words that are asked for, and their vectors, line by line."""
    size = None
    with opened(path) as stream:
        for number, raw in enumerate(stream, 1):
            line = raw.decode("utf-8", "replace").rstrip()
            parts = line.split(" ")
            if number == 1 and len(parts) == 2 and all(part.isdigit() for part in parts):
                size = int(parts[1])
                continue
            size = len(parts) - 1 if size is None else size
            # GloVe has words with spaces in them.
            word, *numbers = line.rsplit(" ", size)
            if size < 1 or len(numbers) != size:
                raise _of_another_size(f"{path}:{number}", len(numbers), size)
            if word not in places:
                continue
            try:
                yield word, np.array(numbers, np.float32)
            except ValueError:
                raise DataError(
                    f"{_FIELD}: {path}:{number}: the vector of {cut(word)} is not all numbers: "
                    f"write {size} of them, as in the first line."
                ) from None


def _of_npz(path: Path, places: Mapping[str, int]) -> Iterator[tuple[str, np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            words, vectors = arrays["words"], arrays["vectors"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{_FIELD}: {path}: is no .npz file with arrays words and vectors ({error}): save it "
            "by numpy.savez(path, words=..., vectors=...)."
        ) from None
    if words.ndim != 1 or words.dtype.kind != "U" or vectors.dtype.kind not in "fiu":
        raise DataError(
            f"{_FIELD}: {path}: words must be texts [words], and vectors numbers [words, size]."
        )
    if vectors.ndim != 2 or len(vectors) != len(words):
        raise DataError(
            f"{_FIELD}: {path}: {len(words):,} words have vectors of the shape "
            f"{list(vectors.shape)}: save [{len(words)}, size]."
        )
    for word, vector in zip(words.tolist(), vectors, strict=True):
        if word in places:
            yield word, vector


def _of_another_size(where: str, found: int, size: int) -> DataError:
    return DataError(
        f"{_FIELD}: {where}: has a vector of {found} numbers, and the first one has {size}: "
        "correct the line, or give a file in the format of GloVe or word2vec."
    )
