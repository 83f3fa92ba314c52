"""Configurations that rules allow, in continuous dimensions where plain draws find none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import cycle, islice

import numpy as np

from hpo.search.levels import assemble, level_count, moved, position_of
from hpo.space import SearchSpace
from hpo.trial import HParam, HParams

# Draws before a space counts as exhausted; they take a second or two.
DRAWS = 20_000
# Configurations to look around, and how far away, as shares of each range.
_LOOKS = 80
_ENDS = (0.0, math.nextafter(1.0, 0.0))
_SHARES = (0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


def remaining(
    space: SearchSpace, tried: Sequence[HParams], rng: np.random.Generator
) -> Iterator[dict[str, HParam]]:
    """Candidates with a continuous dimension, until the caller finds one that is new and allowed.

    The first lie around configurations that were tried, ever nearer to them: where rules allow one
    point, they mostly allow others near it. Then come `DRAWS` draws.
    """
    continuous = {d.path for d in space.dimensions if level_count(d.distribution) is None}
    candidates = [hparams for hparams in tried if not continuous.isdisjoint(hparams)]
    found = (_start(space, candidates[k]) for k in rng.permutation(len(candidates)))
    starts = list(islice(filter(None, found), _LOOKS))
    for share in _SHARES:
        for look, start in enumerate(islice(cycle(starts), _LOOKS)):
            paths = [path for path in start if path in continuous]
            near = {
                path: moved(space.by_path[path].distribution, start[path], share, rng)
                # All continuous dimensions, or one alone.
                for path in (
                    paths if look < _LOOKS // 2 else [paths[int(rng.integers(len(paths)))]]
                )
            }
            yield assemble(space, {**start, **near})
    yield from islice(drawn_continuous(space, rng), DRAWS)


def drawn_continuous(space: SearchSpace, rng: np.random.Generator) -> Iterator[dict[str, HParam]]:
    """An endless stream of draws in which a continuous dimension is active.

    One in three is drawn part by part, see `SearchSpace.in_parts`. One in three has some of its
    values at the ends of their ranges, where derived values are largest and smallest.
    """
    continuous = [d for d in space.dimensions if level_count(d.distribution) is None]
    while True:
        which, kind, *positions = rng.random(2 + len(space)).tolist()
        dimension = continuous[math.floor(which * len(continuous))]
        if kind > 2 / 3:
            ends = rng.random(len(space)).tolist()
            positions = [
                _ENDS[end < 1 / 3] if end < 2 / 3 else position
                for end, position in zip(ends, positions, strict=True)
            ]
        values: dict[str, HParam] = {
            d.path: d.distribution.at(position)
            for d, position in zip(space.dimensions, positions, strict=True)
        }
        if kind < 1 / 3:
            values |= space.in_parts(rng.random)
        while (when := dimension.when) is not None:
            dimension = space.by_path[when.path]
            wanted = when.values[int(rng.integers(len(when.values)))]
            place = position_of(dimension.distribution, wanted)
            values[when.path] = dimension.distribution.at(place)
        yield assemble(space, values)


def _start(space: SearchSpace, hparams: HParams) -> dict[str, HParam] | None:
    """The part of hparams that belongs to this space; None if it is not allowed there."""
    found = space.own_part(hparams)
    return found if found is not None and space.allows(found) else None
