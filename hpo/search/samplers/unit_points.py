"""Trials as points of the unit cube, many at a time: what numerical models are fitted to."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hpo.search.levels import assemble, is_stepped, level, level_count, level_of, varying
from hpo.space import Choice, Dimension, Distribution, Float, SearchSpace
from hpo.trial import HParam, HParams

# The position of inactive dimensions, so that trials do not differ by values that they lack.
_INACTIVE = 0.5


class UnitPoints:
    """Points of a space as positions in [0, 1], `P` points by `D` dimensions that vary.

    A value with levels lies in the middle of its level; inactive dimensions lie at 0.5.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._varying = varying(space)
        self._levels = [
            level_count(d) if isinstance(d, Choice) or is_stepped(d) else None
            for _, d in self._varying
        ]
        self._is_choice = np.array([isinstance(d, Choice) for _, d in self._varying], dtype=bool)
        self._conditions = [self._condition(space.by_path[path]) for path, _ in self._varying]
        widths = [
            levels if is_choice and levels else 1
            for is_choice, levels in zip(self._is_choice, self._levels, strict=True)
        ]
        # The dimension of each column that a model sees.
        self.groups = np.repeat(np.arange(len(widths)), widths)

    def __len__(self) -> int:
        return len(self._varying)

    def of_trials(self, hparams: Sequence[HParams]) -> np.ndarray:
        """The points of trials."""
        rows = [
            [
                _position(distribution, each[path]) if path in each else _INACTIVE
                for path, distribution in self._varying
            ]
            for each in hparams
        ]
        return np.array(rows, dtype=float).reshape(len(rows), len(self))

    def drawn(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Points drawn from the whole space."""
        return self._proper(rng.random((count, len(self))))

    def moved(
        self, points: np.ndarray, step: np.ndarray, share: float, rng: np.random.Generator
    ) -> np.ndarray:
        """Points moved by a normal `step` [P], each in a `share` of its dimensions, at least one.

        A number in levels goes to another level, a choice to any.
        """
        count, width = points.shape
        moves = rng.random((count, width)) < share
        moves[np.arange(count), rng.integers(width, size=count)] = True
        shift = rng.standard_normal((count, width)) * step[:, None]
        anew = rng.random((count, width))
        for column, levels in enumerate(self._levels):
            if levels is not None:
                far_enough = np.maximum(np.abs(shift[:, column]), 1 / levels)
                shift[:, column] = np.copysign(far_enough, shift[:, column])
        # Reflected at the ends, because points moved to the very ends would all be the same.
        target = 1 - np.abs(1 - np.abs(points + shift) % 2)
        return self._proper(np.where(moves, np.where(self._is_choice, anew, target), points))

    def columns(self, points: np.ndarray) -> np.ndarray:
        """The columns of a model: numbers as they are, a choice as one column for each value.

        Two values of a choice are as far apart as the ends of a range.
        """
        columns = []
        for column, levels in enumerate(self._levels):
            at = points[:, column]
            if levels is None or not self._is_choice[column]:
                columns.append(at[:, None])
            else:
                columns.append(np.eye(levels)[_index(at, levels)] / math.sqrt(2))
        return np.concatenate(columns, axis=1)

    def beside(self, points: np.ndarray, given: HParams) -> np.ndarray:
        """Points moved so that they have the hparams that are `given`."""
        if not given:
            return points
        moved = points.copy()
        for column, (path, distribution) in enumerate(self._varying):
            if path in given:
                moved[:, column] = _position(distribution, given[path])
        return self._proper(moved)

    def hparams(self, point: np.ndarray, given: HParams) -> dict[str, HParam]:
        """The hparams at one point [D], with those that are `given`."""
        values = {
            path: _value(distribution, float(at))
            for (path, distribution), at in zip(self._varying, point, strict=True)
        }
        # Exactly as given, because a position may round to a neighbour.
        return assemble(self._space, {**values, **given})

    def _proper(self, points: np.ndarray) -> np.ndarray:
        """Points with levels at their middles and inactive dimensions at theirs."""
        proper = points.copy()
        is_active = np.ones(points.shape, dtype=bool)
        for column, (levels, condition) in enumerate(
            zip(self._levels, self._conditions, strict=True)
        ):
            if levels is not None:
                proper[:, column] = (_index(points[:, column], levels) + 0.5) / levels
            if condition is not None:
                parent, wanted = condition
                index = _index(proper[:, parent], self._levels[parent] or 1)
                is_active[:, column] = is_active[:, parent] & np.isin(index, wanted)
        proper[~is_active] = _INACTIVE
        return proper

    def _condition(self, dimension: Dimension) -> tuple[int, list[int]] | None:
        """The column that a dimension's activity depends on, and the levels that make it active.

        None for a dimension that is always active, or whose condition does not vary in levels.
        """
        paths = [path for path, _ in self._varying]
        if dimension.when is None or dimension.when.path not in paths:
            return None
        parent = paths.index(dimension.when.path)
        distribution = self._varying[parent][1]
        if self._levels[parent] is None:
            return None
        return parent, [level_of(distribution, value) for value in dimension.when.values]


def _index(positions: np.ndarray, levels: int) -> np.ndarray:
    return np.asarray(np.clip(np.floor(positions * levels), 0, levels - 1), dtype=int)


def _position(distribution: Distribution, value: HParam) -> float:
    if isinstance(distribution, Choice) or is_stepped(distribution):
        return (level_of(distribution, value) + 0.5) / (level_count(distribution) or 1)
    assert isinstance(value, int | float)
    low, high, at = float(distribution.low), float(distribution.high), float(value)
    if distribution.log:
        # Whole numbers have half a unit on either side: see Int.at.
        half = 0.0 if isinstance(distribution, Float) else 0.5
        low, high, at = math.log(low - half), math.log(high + half), math.log(at)
    return min(max((at - low) / (high - low), 0.0), 1.0)


def _value(distribution: Distribution, position: float) -> HParam:
    if isinstance(distribution, Choice) or is_stepped(distribution):
        levels = level_count(distribution) or 1
        return level(distribution, min(int(position * levels), levels - 1))
    return distribution.at(position)
