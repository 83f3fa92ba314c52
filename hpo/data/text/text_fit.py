"""Texts as features: counts of tokens or their TF-IDF weights, by the rules of scikit-learn, or
ids.

A fit is named arrays of the training texts and the leaves of `data.text`, and a pure function of
them. So it is stored, and applied, without the training texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from hpo.data.text.bpe import bpe_vocabulary, fit_merges
from hpo.data.text.packing import packed, unpacked
from hpo.data.text.sentences import is_without_spaces
from hpo.data.text.synonyms import read_synonyms
from hpo.data.text.tokens import cleaned_by, runs, separator_of, tokenizer
from hpo.data.text.vectors import read_vectors
from hpo.errors import DataError
from hpo.spec.sections.columns import Text

# The ids that are no tokens: of the places after the end of a text, and of unknown tokens.
PADDING, UNKNOWN = 0, 1
FIRST_ID = 2
# The names of the arrays that not every fit has, and its fields.
_ARRAYS = {
    "weight": "weights",
    "merges": "merges",
    "vectors": "vectors",
    "synonyms": "synonyms",
    "homophones": "homophones",
}
_HERE = Path()


@dataclass(frozen=True, eq=False)
class TextFit:
    """Turns the texts of one column into features.

    `spec` has its tokens decided and its stop words in a list. `weights` are those of TF-IDF.
    `vocabulary` holds the token, or run of tokens, of each feature, or that of each id from
    `FIRST_ID` on.
    """

    spec: Text
    vocabulary: tuple[str, ...]
    weights: np.ndarray | None = None
    merges: np.ndarray | None = None  # of BPE
    vectors: np.ndarray | None = None  # of each token of the vocabulary, float32 `[tokens, size]`
    synonyms: np.ndarray | None = None  # of each id, as `read_synonyms` gives them
    homophones: np.ndarray | None = None  # the same

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The fit as named arrays."""
        data, ends = packed(self.vocabulary)
        leaves, _ = packed([self.spec.model_dump_json()])
        found = {"leaves": leaves, "token_bytes": data, "token_end": ends}
        more = {name: getattr(self, field) for name, field in _ARRAYS.items()}
        return found | {name: array for name, array in more.items() if array is not None}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> TextFit:
        """The fit that has these arrays."""
        spec = Text.model_validate_json(arrays["leaves"].tobytes())
        tokens = unpacked(arrays["token_bytes"], arrays["token_end"])
        more = {field: arrays.get(name) for name, field in _ARRAYS.items()}
        return cls(spec, tuple(tokens), **more)

    def apply(self, texts: Sequence[str]) -> np.ndarray:
        """The features of each text, float32 `[N, features]`, or its ids, int32 `[N, length]`.

        Unknown tokens count nothing.
        """
        if self.ids:
            return self._numbers(texts)
        if self.spec.vectors == "mean":
            return self._means(texts)
        found = np.zeros((len(texts), len(self.vocabulary)))
        for row, text in enumerate(texts):
            for token, count in Counter(
                filter(self._places.__contains__, self._runs(text))
            ).items():
                found[row, self._places[token]] = count
        if self.weights is None:
            return found.astype(np.float32)
        found *= self.weights
        length = np.sqrt((found**2).sum(axis=1, keepdims=True))
        return (found / np.where(length > 0, length, 1)).astype(np.float32)

    @property
    def ids(self) -> int:
        """The number of different ids; 0 if texts become features."""
        return FIRST_ID + len(self.vocabulary) if self.spec.vectors == "ids" else 0

    @cached_property
    def embeddings(self) -> np.ndarray | None:
        """The vector of each id, float32 `[ids, size]`: 0 where the file has none; None without."""
        if not self.ids or self.vectors is None:
            return None
        return np.pad(self.vectors, [(FIRST_ID, 0), (0, 0)])

    def _means(self, texts: Sequence[str]) -> np.ndarray:
        assert self.vectors is not None
        found = np.zeros((len(texts), self.vectors.shape[1]), np.float32)
        for row, text in enumerate(texts):
            tokens = filter(self._places.__contains__, self._runs(text))
            if places := [self._places[token] for token in tokens]:
                found[row] = self.vectors[places].mean(axis=0, dtype=np.float64)
        return found

    def _numbers(self, texts: Sequence[str]) -> np.ndarray:
        found = np.full((len(texts), self.spec.length), PADDING, np.int32)
        for row, text in enumerate(texts):
            tokens = self._runs(text)[: self.spec.length]
            places = [self._places.get(token, UNKNOWN - FIRST_ID) for token in tokens]
            found[row, : len(places)] = np.array(places, np.int32) + FIRST_ID
        return found

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {token: place for place, token in enumerate(self.vocabulary)}

    @cached_property
    def _runs(self) -> Callable[[str], list[str]]:
        return _runs_of(self.spec, self.merges)


def fit_texts(texts: Sequence[str], spec: Text, name: str, folder: Path = _HERE) -> TextFit:
    """The fit of the training texts of a column, which has this name in messages.

    A relative path in `spec` starts at `folder`.

    Raises:
        DataError: if no text has a token, a library is not installed, or a file is unfit.
    """
    if spec.tokens == "auto":
        found = "characters" if is_without_spaces(texts) else "words"
        spec = spec.model_copy(update={"tokens": found})
    merges = None
    if spec.tokens == "bpe":
        merges = fit_merges((cleaned_by(spec, text) for text in texts), spec.vocabulary)
    tokens_of, terms, documents = _runs_of(spec, merges), Counter[str](), Counter[str]()
    for text in texts:
        tokens = tokens_of(text)
        terms.update(tokens)
        documents.update(set(tokens))
    if not terms:
        raise DataError(
            f"{name}: no training row has a token once its text is cleaned by data.text: correct "
            "tokens, punctuation, shortest, stop_words or ngrams, or drop the column."
        )
    if spec.vectors in ("mean", "ids"):
        fit = TextFit(spec, tuple(_in_order(spec, terms, merges)), merges=merges)
        return _with_alternatives(_with_vectors(fit, folder), tokens_of, folder)
    vocabulary = sorted(_most_frequent(terms, spec.features))
    if spec.vectors == "counts":
        return TextFit(spec, tuple(vocabulary), merges=merges)
    return TextFit(spec, tuple(vocabulary), _weights(vocabulary, documents, len(texts)), merges)


def _weights(vocabulary: Sequence[str], documents: Mapping[str, int], texts: int) -> np.ndarray:
    """The weight of each token: 1 + log((1 + texts) / (1 + texts with the token))."""
    seen = np.array([documents[token] for token in vocabulary], np.float64)
    weights: np.ndarray = np.log((1 + texts) / (1 + seen)) + 1
    return weights


def _with_vectors(fit: TextFit, folder: Path) -> TextFit:
    """The fit with the vectors of its tokens, if the spec names a file of them."""
    spec, vocabulary = fit.spec, fit.vocabulary
    if spec.embeddings is None:
        return fit
    vectors, is_found = read_vectors(_in(folder, spec.embeddings), vocabulary)
    if spec.vectors == "mean":
        kept = tuple(token for token, yes in zip(vocabulary, is_found, strict=True) if yes)
        return replace(fit, vocabulary=kept, vectors=vectors[is_found])
    return replace(fit, vectors=vectors)


def _with_alternatives(
    fit: TextFit, tokens_of: Callable[[str], list[str]], folder: Path
) -> TextFit:
    """The fit with the alternatives of its ids, by the files that the spec names."""
    ids = {token: number for number, token in enumerate(fit.vocabulary, FIRST_ID)}

    def read(file: str | None, name: str) -> np.ndarray | None:
        if file is None or not fit.ids:
            return None
        return read_synonyms(_in(folder, file), ids, tokens_of, f"data.text.{name}")

    spec = fit.spec
    return replace(
        fit,
        synonyms=read(spec.synonyms, "synonyms"),
        homophones=read(spec.homophones, "homophones"),
    )


def _in(folder: Path, named: str) -> Path:
    return folder / Path(named).expanduser()


def _most_frequent(terms: Mapping[str, int], most: int) -> list[str]:
    # Of equally frequent tokens the first in sorted order. scikit-learn sorts them as the
    # instructions of the CPU do, so that its vocabulary differs between machines.
    ordered = sorted(terms)
    counts = np.array([terms[token] for token in ordered])
    return [ordered[place] for place in (-counts).argsort(kind="stable")[:most]]


def _in_order(spec: Text, terms: Mapping[str, int], merges: np.ndarray | None) -> list[str]:
    """The tokens in the order of their ids: the most frequent ones first, or all bytes or parts."""
    if merges is not None:
        return bpe_vocabulary(merges)
    if spec.tokens == "bytes":
        return [*map(chr, range(256))]
    return _most_frequent(terms, spec.vocabulary)


def _runs_of(spec: Text, merges: np.ndarray | None) -> Callable[[str], list[str]]:
    """The function from a text to the runs of its tokens that may be features."""
    tokens = tokenizer(spec, frozenset(spec.stop_words), merges)
    if spec.vectors in ("mean", "ids"):
        return tokens
    separator = separator_of(spec)
    return lambda text: runs(tokens(text), spec.ngrams, separator)
