"""Columns of text as weighted words: TF-IDF, by the rules of scikit-learn's TfidfVectorizer.

Words are runs of two or more letters and digits of any script, in lower case. A fit is named
arrays of the training rows: the words, and the weight of each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from hpo.data.transforms.encoding import OWN
from hpo.spec.sections.columns import Treatment

_WORD = re.compile(r"\b\w\w+\b")


def fit_text_columns(
    codes: np.ndarray,
    fill: np.ndarray,
    treatments: Sequence[Treatment],
    values: Sequence[Sequence[str]],
) -> dict[str, np.ndarray]:
    """The words of each text column by the training rows, whose `codes` are filled.

    Those of one column stand after those of another, which starts at its `word_start`.
    """
    columns = [
        column for column, one in enumerate(treatments) if one.type == "text" and fill[column] >= 0
    ]
    if not columns:
        return {}
    fits = [
        fit_words(_texts_of(codes[:, column], values[column]), treatments[column].features)
        for column in columns
    ]
    data, ends = packed([word for words, _ in fits for word in words])
    return {
        "word_column": np.array(columns, np.int32),
        "word_start": np.cumsum([0, *(len(words) for words, _ in fits)]),
        "word_weight": np.concatenate([weights for _, weights in fits]),
        "word_bytes": data,
        "word_end": ends,
    }


def word_features(
    arrays: Mapping[str, np.ndarray], codes: np.ndarray, values: Sequence[Sequence[str]]
) -> np.ndarray:
    """The weighted words of every text column, float32 `[N, words]`."""
    words = unpacked(arrays["word_bytes"], arrays["word_end"])
    starts, found = arrays["word_start"], []
    for place, column in enumerate(arrays["word_column"]):
        own = slice(starts[place], starts[place + 1])
        places = {word: number for number, word in enumerate(words[own])}
        texts = _texts_of(codes[:, column], values[column])
        found.append(tfidf(texts, places, arrays["word_weight"][own]))
    return np.concatenate(found, axis=1)


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return _WORD.findall(text.lower())


def fit_words(texts: Sequence[str], features: int) -> tuple[list[str], np.ndarray]:
    """The most frequent words of the training texts, sorted, and their weights, float64.

    The weight of a word is 1 + log((1 + texts) / (1 + texts with the word)).
    """
    terms, documents = Counter[str](), Counter[str]()
    for text in texts:
        words = words_of(text)
        terms.update(words)
        documents.update(set(words))
    # Of equally frequent words the first in sorted order, as scikit-learn takes them.
    ordered = sorted(terms)
    counts = np.array([terms[word] for word in ordered])
    vocabulary = sorted(ordered[place] for place in (-counts).argsort()[:features])
    seen = np.array([documents[word] for word in vocabulary], np.float64)
    return vocabulary, np.log((1 + len(texts)) / (1 + seen)) + 1


def tfidf(texts: Iterable[str], places: Mapping[str, int], weights: np.ndarray) -> np.ndarray:
    """The weighted counts of the words of each text, of length 1, float32 `[N, words]`.

    A text without a known word is zeros.
    """
    rows = [Counter(filter(places.__contains__, words_of(text))) for text in texts]
    found = np.zeros((len(rows), len(weights)))
    for row, counts in enumerate(rows):
        for word, count in counts.items():
            found[row, places[word]] = count
    found *= weights
    length = np.sqrt((found**2).sum(axis=1, keepdims=True))
    return (found / np.where(length > 0, length, 1)).astype(np.float32)


def packed(words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Texts as one array of their UTF-8 bytes, and where each ends: an array without objects."""
    data = [word.encode("utf-8", "surrogatepass") for word in words]
    return np.frombuffer(b"".join(data), np.uint8), np.cumsum([0, *map(len, data)])[1:]


def unpacked(data: np.ndarray, ends: np.ndarray) -> list[str]:
    """The texts of such an array."""
    text, start, words = data.tobytes(), 0, []
    for end in ends.tolist():
        words.append(text[start:end].decode("utf-8", "surrogatepass"))
        start = end
    return words


def _texts_of(codes: np.ndarray, values: Sequence[str]) -> list[str]:
    """The texts of a column; an empty cell is an empty text."""
    return ["" if code == OWN else values[code] for code in codes.tolist()]
