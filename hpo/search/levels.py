"""Values of a distribution by index or by position, as grids and libraries need them.

A *level* is one of the values of a distribution that has finitely many: the third choice, the
fifth step. Indices travel safely where lists, mappings, `True` beside `1` and sums of steps do not.
A *position* is a place in [0, 1) on the scale of a distribution.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hpo.space import Choice, Distribution, Float, Int, SearchSpace, same_value
from hpo.trial import HParam, HParams

if TYPE_CHECKING:
    import numpy as np

_BELOW_ONE = math.nextafter(1.0, 0.0)


def level_count(distribution: Distribution) -> int | None:
    """How many levels a distribution has; None where it is continuous."""
    if isinstance(distribution, Choice):
        return len(distribution.values)
    if isinstance(distribution, Int):
        return (distribution.high - distribution.low) // _step(distribution) + 1
    if distribution.low == distribution.high:
        return 1
    return None if distribution.step is None else int(distribution.size)


def level(distribution: Distribution, index: int) -> HParam:
    """The value of a distribution at an `index` in [0, level_count)."""
    if isinstance(distribution, Choice):
        return distribution.values[index]
    if isinstance(distribution, Int):
        return distribution.low + index * _step(distribution)
    return distribution.at((index + 0.5) / distribution.size)


def level_of(distribution: Distribution, value: HParam) -> int:
    """The index of the level that is, or lies nearest to, `value`.

    Raises:
        ValueError: for a value that is not among the choices, or not a number.
    """
    if isinstance(distribution, Choice):
        for index, choice in enumerate(distribution.values):
            if same_value(choice, value):
                return index
        raise ValueError(f"{value!r} is not among the choices {list(distribution.values)!r}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number")
    if isinstance(distribution, Int):
        return round((value - distribution.low) / _step(distribution))
    return 0 if distribution.step is None else round((value - distribution.low) / distribution.step)


def position_of(distribution: Distribution, value: HParam) -> float:
    """The position at which `distribution.at` gives `value`; the middle of those of a level.

    Raises:
        ValueError: for a value that is not among the choices, or not a number.
    """
    count = level_count(distribution)
    if count is not None and (isinstance(distribution, Choice) or not distribution.log):
        return (min(max(level_of(distribution, value), 0), count - 1) + 0.5) / count
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number")
    assert not isinstance(distribution, Choice)
    low, high, x = float(distribution.low), float(distribution.high), float(value)
    if distribution.log:
        margin = 0.5 if isinstance(distribution, Int) else 0.0
        low, high, x = math.log(low - margin), math.log(high + margin), math.log(x)
    if high == low:
        return 0.5
    return min(max((x - low) / (high - low), 0.0), _BELOW_ONE)


def varying(space: SearchSpace) -> list[tuple[str, Distribution]]:
    """The dimensions that have more than one value: only these are searched."""
    return [(d.path, d.distribution) for d in space.dimensions if level_count(d.distribution) != 1]


def assemble(space: SearchSpace, values: HParams) -> dict[str, HParam]:
    """The active dimensions of `values`, in the order of the space; constants are filled in."""
    hparams: dict[str, HParam] = {}
    for dimension in space.dimensions:
        if space.is_active(dimension, hparams):
            is_constant = level_count(dimension.distribution) == 1
            hparams[dimension.path] = (
                level(dimension.distribution, 0) if is_constant else values[dimension.path]
            )
    return hparams


def moved(
    distribution: Distribution, value: HParam, share: float, rng: np.random.Generator
) -> HParam:
    """A value near another: moved by about a share of the range, and at least about a step."""
    count = level_count(distribution)
    if isinstance(distribution, Choice):
        return distribution.at(float(rng.random()))
    width = max(share, 1.0 / count if count is not None and not distribution.log else 0.0)
    place = position_of(distribution, value) + width * float(rng.standard_normal())
    return distribution.at(min(max(place, 0.0), _BELOW_ONE))


def is_stepped(distribution: Distribution) -> bool:
    """Whether a number is searched as the index of its level: it moves in steps."""
    return (
        isinstance(distribution, Int | Float)
        and not distribution.log
        and (level_count(distribution) is not None)
    )


def _step(distribution: Int) -> int:
    # Whole numbers on a logarithmic scale have no steps: see Int.at.
    return 1 if distribution.log else distribution.step
