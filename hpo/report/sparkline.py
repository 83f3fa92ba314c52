"""Curves and bars in Unicode blocks, for terminals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

_HEIGHTS = "▁▂▃▄▅▆▇█"
_WIDTHS = " ▏▎▍▌▋▊▉█"


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """A block for each value, its height between the least and the greatest; `▁▄▆█` for 1, 4, 6, 8.

    More than `width` values are cut into equal stretches, each shown by its mean. A gap stands
    where nothing is finite.
    """
    columns = [_mean(part) for part in _stretches(values, width)]
    finite = [value for value in columns if math.isfinite(value)]
    if not finite:
        return " " * len(columns)
    low, high = min(finite), max(finite)
    return "".join(_block(value, low, high) for value in columns)


def bar(share: float, width: int = 24) -> str:
    """A bar of `share` (0 to 1) of `width` columns, to an eighth of a column."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    return (_WIDTHS[8] * (eighths // 8) + _WIDTHS[eighths % 8]).rstrip()


def _stretches(values: Sequence[float], width: int) -> list[Sequence[float]]:
    count = min(len(values), width)
    edges = [index * len(values) // count for index in range(count + 1)] if count else []
    return [values[start:end] for start, end in pairwise(edges)]


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _block(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return " "
    if low == high:
        return _HEIGHTS[3]
    return _HEIGHTS[round((value - low) / (high - low) * (len(_HEIGHTS) - 1))]
