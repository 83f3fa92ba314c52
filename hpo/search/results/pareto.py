"""Several objectives at once: Pareto fronts and hypervolume.

Values are minimised; a point is one value for each objective.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from operator import le
from typing import TypeAlias

from hpo.trial import Trial

Point: TypeAlias = tuple[float, ...]


def dominates(one: Point, other: Point) -> bool:
    """Whether `one` is nowhere worse than `other` and somewhere better."""
    return one != other and all(map(le, one, other))


def nondominated(points: Sequence[Point]) -> list[int]:
    """The positions of the points that no other dominates, in their order; equals all stay."""
    kept: list[Point] = []
    # In this order no point can dominate one that comes before it.
    for point in sorted(set(points)):
        if not any(dominates(other, point) for other in kept):
            kept.append(point)
    front = set(kept)
    return [index for index, point in enumerate(points) if point in front]


def pareto_front(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that no other dominates, by their values.

    Only trials that were trained in full and keep the constraints take part.
    """
    finalists = [
        trial for trial in trials if trial.is_full and trial.values and trial.violation == 0
    ]
    front = [finalists[index] for index in nondominated([trial.values for trial in finalists])]
    return sorted(front, key=lambda trial: (trial.values, trial.number))


def fronts(points: Sequence[Point]) -> list[list[int]]:
    """The positions of all points by front: those not dominated, those only these dominate, ...

    Each front is in the order of its points; equal points share one. With one objective this is a
    ranking.

    Source: Zhang et al. 2015, "An efficient approach to nondominated sorting for evolutionary
    multiobjective optimization" (IEEE Transactions on Evolutionary Computation 19), ENS-BS.
    """
    found: list[list[int]] = []

    def is_beside(index: int, front: list[int]) -> bool:
        return not any(dominates(points[other], points[index]) for other in reversed(front))

    # In this order no point can dominate one that comes before it.
    for index in sorted(range(len(points)), key=lambda index: points[index]):
        # A point that a front dominates is dominated by every front before it, too.
        place = bisect_left(found, True, key=lambda front: is_beside(index, front))
        if place == len(found):
            found.append([])
        found[place].append(index)
    return found


def along_front(points: Sequence[Point]) -> Iterator[int]:
    """The positions of a front's points, in an order whose first points lie far apart.

    First comes the best of each objective, then always the point that is farthest from all before
    it. Each objective counts from its best (0) to its worst (1) on the front.

    Source: Gonzalez 1985, "Clustering to minimize the maximum intercluster distance" (Theoretical
    Computer Science 38), the choice of heads.
    """
    shares = _shares(points)
    bests = [
        min(range(len(points)), key=lambda index: (column[index], points[index]))
        for column in zip(*shares, strict=True)
    ]
    distances = dict.fromkeys(range(len(points)), math.inf)
    ends = list(dict.fromkeys(bests))
    while distances:
        index = ends.pop(0) if ends else max(distances, key=lambda other: distances[other])
        del distances[index]
        yield index
        for other in distances:
            distances[other] = min(distances[other], math.dist(shares[index], shares[other]))


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """The volume of what the points dominate, up to `reference`; exact.

    Source: While, Bradstreet and Barone 2012, "A fast way of calculating exact hypervolumes" (IEEE
    Transactions on Evolutionary Computation 16), the WFG algorithm.
    """
    inside = [
        point for point in points if all(a < b for a, b in zip(point, reference, strict=True))
    ]
    front = sorted({inside[index] for index in nondominated(inside)})
    return _volume(front, reference)


def knee(points: Sequence[Point]) -> int:
    """The position of the point nearest to the best of every objective at once.

    Each objective counts from its best (0) to its worst (1) among the points.
    """
    distances = [math.hypot(*shares) for shares in _shares(points)]
    return distances.index(min(distances))


def _shares(points: Sequence[Point]) -> list[Point]:
    """The points with each objective from its best (0) to its worst (1) among them."""
    bests, worsts = ([end(column) for column in zip(*points, strict=True)] for end in (min, max))
    return [
        tuple(
            (value - best) / (worst - best) if worst > best else 0.0
            for value, best, worst in zip(point, bests, worsts, strict=True)
        )
        for point in points
    ]


def _volume(front: Sequence[Point], reference: Point) -> float:
    """The hypervolume of points that do not dominate each other, in ascending order."""
    if len(reference) == 1:
        return reference[0] - front[0][0] if front else 0.0
    if len(reference) == 2:
        volume, ceiling = 0.0, reference[1]
        for x, y in front:
            volume += (reference[0] - x) * (ceiling - y)
            ceiling = y
        return volume
    return sum(
        math.prod(b - a for a, b in zip(point, reference, strict=True))
        - _volume(_limited(point, front[index + 1 :]), reference)
        for index, point in enumerate(front)
    )


def _limited(point: Point, others: Sequence[Point]) -> list[Point]:
    """The part of what `others` dominate that `point` dominates too, as its own front."""
    corners = [tuple(map(max, point, other)) for other in others]
    return sorted({corners[index] for index in nondominated(corners)})
