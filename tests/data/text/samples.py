"""Texts for the tests."""

from __future__ import annotations

import random

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from hpo.data.source import Source

ENGLISH = (
    *("The", "the", "film", "films", "was", "not", "good-ish", "don't", "running", "ran"),
    *("Ärger", "Straße", "я", "люблю", "x", "2024", "v2", "$5", "a_b", "…"),
)
CHINESE = (
    "很好",
    "吃",
    "的",
    "味道",
    "不错",
    "，",
    "。",
    "送",
    "外卖",
    "太",
    "慢",
    "了",
    "ok",
    "！",
)


def texts_source(found, order=None):
    """A source of one text column; `order` gives the text of each row, -1 for an empty cell."""
    codes = np.array(range(len(found)) if order is None else order, np.int32)[:, None]
    return Source(
        x=np.zeros((len(codes), 0)),
        y=np.arange(len(codes), dtype=np.float64),
        target="t.csv",
        categories=codes,
        text_names=("review",),
        values=(tuple(found),),
    )


def most_frequent(kind, texts, most, **options):
    """A vectorizer of scikit-learn for the most frequent tokens of texts.

    Of equally frequent ones it takes the first in sorted order, which scikit-learn itself leaves to
    the instructions of the CPU.
    """
    counter = CountVectorizer(**options)
    totals = counter.fit_transform(texts).sum(axis=0).A1.tolist()
    ordered = sorted(zip(totals, counter.get_feature_names_out(), strict=True), key=_rank)
    vocabulary = sorted(token for _, token in ordered[:most])
    return kind(**options, vocabulary=vocabulary).fit(texts)


def _rank(counted):
    return -counted[0], counted[1]


def sentences(count, seed, words=ENGLISH, separator=" "):
    """Random sentences of some words."""
    rng = random.Random(seed)
    return [separator.join(rng.choices(words, k=rng.randrange(9))) for _ in range(count)]
