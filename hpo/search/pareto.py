"""Several objectives at once: which trials none beats, and how much they cover.

Values are minimised; a point is one value for each objective.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from hpo.trial import Trial, TrialState

Point: TypeAlias = tuple[float, ...]


def dominates(one: Point, other: Point) -> bool:
    """Whether `one` is nowhere worse than `other` and somewhere better."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


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
    """The trials of which no other is better in every objective, by their values.

    Trials trained in full that keep the constraints alone.
    """
    finalists = [
        trial
        for trial in trials
        if trial.state is TrialState.COMPLETE and trial.values and trial.violation == 0
    ]
    front = [finalists[index] for index in nondominated([trial.values for trial in finalists])]
    return sorted(front, key=lambda trial: (trial.values, trial.number))


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
    bests, worsts = ([end(column) for column in zip(*points, strict=True)] for end in (min, max))

    def distance(point: Point) -> float:
        return math.hypot(
            *(
                (value - best) / (worst - best) if worst > best else 0.0
                for value, best, worst in zip(point, bests, worsts, strict=True)
            )
        )

    return min(range(len(points)), key=lambda index: (distance(points[index]), index))


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
