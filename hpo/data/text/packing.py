"""Texts as arrays without objects, which are stored and mapped as any others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def packed(words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Texts as one array of their UTF-8 bytes, and where each ends."""
    data = [word.encode("utf-8", "surrogatepass") for word in words]
    return np.frombuffer(b"".join(data), np.uint8), np.cumsum([0, *map(len, data)])[1:]


def unpacked(data: np.ndarray, ends: np.ndarray) -> list[str]:
    """The texts of such an array.

    Raises:
        ValueError: for ends that are not those of its texts.
    """
    text, start, words = data.tobytes(), 0, []
    if (np.diff(ends, prepend=0) < 0).any() or (ends[-1] if len(ends) else 0) != len(text):
        raise ValueError(f"has texts that do not end where its {len(text)} bytes do")
    for end in ends.tolist():
        words.append(text[start:end].decode("utf-8", "surrogatepass"))
        start = end
    return words
