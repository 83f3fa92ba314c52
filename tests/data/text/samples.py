"""Texts for the tests."""

from __future__ import annotations

import random

import numpy as np

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


def sentences(count, seed, words=ENGLISH, separator=" "):
    """Random sentences of some words."""
    rng = random.Random(seed)
    return [separator.join(rng.choices(words, k=rng.randrange(9))) for _ in range(count)]
