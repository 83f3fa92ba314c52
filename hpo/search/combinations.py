"""The configurations of a finite space by their numbers, without a list of them."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from hpo.search.levels import level, level_count
from hpo.space import Dimension, SearchSpace
from hpo.trial import HParam, HParams


class Combinations:
    """The combinations of a space's levels, numbered from 0 to `size - 1`.

    Inactive dimensions are not combined, so no two combinations are the same configuration. There
    is none in which a continuous dimension is active. Combinations that rules forbid are left out
    only where the space can count what the rules allow.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._children: dict[str, list[Dimension]] = {}
        for dimension in space.dimensions:
            if dimension.when is not None:
                self._children.setdefault(dimension.when.path, []).append(dimension)
        self._roots = [dimension for dimension in space.dimensions if dimension.when is None]
        # Children come after their parents, so that their counts are there when they are needed.
        self._counts: dict[str, int] = {}
        for dimension in reversed(space.dimensions):
            self._counts[dimension.path] = self._count(dimension)
        self._ruled = space.ruled if space.is_counted else frozenset[str]()
        self._allowed: Sequence[HParams] = space.allowed if self._ruled else [{}]
        # The number of combinations up to and including each of the allowed parts.
        self._ends = list(
            accumulate(
                math.prod(self._counts[d.path] for d in self._beside(hparams))
                for hparams in self._allowed
            )
        )
        self.size = self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> dict[str, HParam]:
        part = bisect_right(self._ends, index)
        hparams = dict(self._allowed[part])
        before = self._ends[part - 1] if part else 0
        self._choose(self._beside(hparams), index - before, hparams)
        return {d.path: hparams[d.path] for d in self._space.dimensions if d.path in hparams}

    def _beside(self, ruled: HParams) -> list[Dimension]:
        """The dimensions to choose besides those that rules depend on."""
        return [root for root in self._roots if root.path not in self._ruled] + [
            child
            for path in ruled
            for child in self._children.get(path, ())
            if child.path not in self._ruled and self._space.is_active(child, ruled)
        ]

    def _count(self, dimension: Dimension) -> int:
        """The number of combinations of a dimension and those that depend on it."""
        levels = level_count(dimension.distribution)
        if levels is None:
            return 0
        if dimension.path not in self._children:
            return levels
        return sum(
            self._count_below(dimension, level(dimension.distribution, index))
            for index in range(levels)
        )

    def _count_below(self, dimension: Dimension, value: HParam) -> int:
        return math.prod(self._counts[child.path] for child in self._active(dimension, value))

    def _active(self, dimension: Dimension, value: HParam) -> list[Dimension]:
        """The dimensions that become active where `dimension` takes `value`."""
        beside = {dimension.path: value}
        children = self._children.get(dimension.path, [])
        return [child for child in children if self._space.is_active(child, beside)]

    def _choose(self, dimensions: list[Dimension], index: int, hparams: dict[str, HParam]) -> None:
        """Read `index` as a number with one digit for each of `dimensions`, and take those."""
        for dimension in dimensions:
            index, digit = divmod(index, self._counts[dimension.path])
            if dimension.path not in self._children:
                hparams[dimension.path] = level(dimension.distribution, digit)
                continue
            levels = level_count(dimension.distribution)
            assert levels is not None
            for position in range(levels):
                value = level(dimension.distribution, position)
                below = self._count_below(dimension, value)
                if digit < below:
                    hparams[dimension.path] = value
                    self._choose(self._active(dimension, value), digit, hparams)
                    break
                digit -= below


def shuffled(index: int, size: int, seed: int) -> int:
    """The place of `index` in a pseudo-random permutation of `range(size)`, for any size.

    A Feistel cipher on the next power of four, walked until it lands inside the range, at most
    four steps on average.

    Source: Black and Rogaway 2002, "Ciphers with arbitrary finite domains", cycle-walking cipher.
    """
    half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half_bits) - 1
    while True:
        left, right = index >> half_bits, index & mask
        for round_number in range(6):
            left, right = right, left ^ (_mixed(seed, round_number, right) & mask)
        index = left << half_bits | right
        if index < size:
            return index


def _mixed(seed: int, round_number: int, value: int) -> int:
    digest = hashlib.blake2b(f"{seed}:{round_number}:{value}".encode()).digest()
    return int.from_bytes(digest, "little")
