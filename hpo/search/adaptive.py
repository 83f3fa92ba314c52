"""Ranges that follow the search: widened where the best trials crowd, narrowed where none are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hpo.search.comparing import comparable_losses
from hpo.search.earlier import InThisSpace
from hpo.search.levels import position_of
from hpo.space import (
    Choice,
    Dimension,
    Distribution,
    Int,
    RangeMove,
    SearchSpace,
    can_give,
    with_bounds,
)
from hpo.trial import HParam, HParams, Trial

if TYPE_CHECKING:
    from hpo.search.sampler import Sampler

# Results before the first move, and trials proposed between two moves.
_FEWEST_RESULTS = 20
_PATIENCE = 10
# How surely a crowd is no accident, or an empty end no luck.
_SIGNIFICANCE = 0.02
# Ends of a range, as shares of its scale, and by how much of it a bound moves out.
_CROWDED_END = 0.1
_EMPTY_END = 0.2
_GROWTH = 0.5
# Why ranges became as wide as they may; after such a move none is narrowed any more.
_EXHAUSTED = "every configuration in the ranges has been tried"
_NONE_FOUND = "no other configuration that the rules allow was found in the ranges"


class AdaptiveSearch:
    """A sampler over a space whose ranges move within the limits of their dimensions.

    `moves` are those so far, kept by the caller; `record` is told of a new one, and keeps it.
    `make` gives the sampler for the ranges as they stand. Trials outside them keep their numbers
    and tell the sampler nothing. Where all in the ranges has been tried, they become as wide as
    they may; only when that is used up, too, are there fewer proposals.
    """

    def __init__(
        self,
        make: Callable[[SearchSpace], Sampler],
        space: SearchSpace,
        moves: Callable[[], Sequence[RangeMove]],
        record: Callable[[RangeMove], None],
    ) -> None:
        self._make, self._space = make, space
        self._moves, self._record = moves, record
        self._outside: dict[int, HParams | None] = {}
        self._looked_at = 0
        self._ranges: SearchSpace | None = None
        self._sampler: Sampler | None = None

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """The sampler's proposals for the next `n` trials, after a move if it is time for one."""
        moves = list(self._moves())
        ranges = with_moves(self._space, moves)
        # Where all can be tried, to cut off an end would only have it tried later.
        may_narrow = not any(
            m.reason in (_EXHAUSTED, _NONE_FOUND) and _counts(m, self._space) for m in moves
        )
        move = next_move(ranges, trials, moves[-1].trials if moves else 0, may_narrow)
        if move is not None:
            self._make_moves([move], moves)
        asked = self._ask_after(moves, trials, n)
        if len(asked) < n:
            seen = [*trials, *(Trial(len(trials) + i, h) for i, h in enumerate(asked))]
            if further := _to_limits(with_moves(self._space, moves), len(seen)):
                self._make_moves(further, moves)
                asked += self._ask_after(moves, seen, n - len(asked))
        return asked

    def _make_moves(self, made: Sequence[RangeMove], moves: list[RangeMove]) -> None:
        for move in made:
            complete = replace(move, written=_bounds(self._space.by_path[move.path]))
            self._record(complete)
            moves.append(complete)

    def _ask_after(
        self, moves: Sequence[RangeMove], trials: Sequence[Trial], n: int
    ) -> list[dict[str, HParam]]:
        ranges = with_moves(self._space, moves)
        if self._sampler is None or ranges != self._ranges:
            self._ranges = ranges
            self._outside = {}
            self._looked_at = 0
            self._sampler = InThisSpace(self._make(ranges), self._outside)
        for trial in trials[self._looked_at :]:
            if not lies_within(ranges, trial.hparams):
                self._outside[trial.number] = None
        self._looked_at = len(trials)
        return self._sampler.ask(trials, n)


def with_moves(space: SearchSpace, moves: Sequence[RangeMove]) -> SearchSpace:
    """The space with the ranges that its dimensions have after these moves.

    A move counts as long as the spec has the range that was written when it was made. Where the
    limits have changed it is kept within those of now; where that leaves nothing, the range is what
    the spec says.
    """
    ranges = {move.path: (move.low, move.high) for move in moves if _counts(move, space)}
    return replace(
        space,
        dimensions=tuple(
            _moved(d, *ranges[d.path]) if d.path in ranges else d for d in space.dimensions
        ),
    )


def lies_within(space: SearchSpace, hparams: HParams) -> bool:
    """Whether hparams lie within the ranges that may move."""
    return all(
        can_give(dimension.distribution, hparams[dimension.path])
        for dimension in space.dimensions
        if dimension.limits is not None and dimension.path in hparams
    )


def next_move(
    space: SearchSpace, trials: Sequence[Trial], since: int, may_narrow: bool = True
) -> RangeMove | None:
    """The move of a range that the trials ask for, the last move being `since` that many trials.

    A bound moves out by half its range where more of the best quarter of the trials lie in the
    tenth beside it than chance would put there, and in by a fifth where none of the best half lie
    in that fifth although others do: each to a chance of 1 in 50 (binomial tests); the latter only
    if it `may_narrow`. Trials are compared as `comparable_losses` has them; dimensions are looked
    at in their order.
    """
    if len(trials) < since + _PATIENCE:
        return None
    losses = comparable_losses(trials)
    for dimension in space.dimensions:
        if dimension.limits is None:
            continue
        distribution = dimension.distribution
        places = {
            trial.number: position_of(distribution, trial.hparams[dimension.path])
            for trial in trials
            if trial.number in losses
            and dimension.path in trial.hparams
            and can_give(distribution, trial.hparams[dimension.path])
        }
        if len(places) < _FEWEST_RESULTS:
            continue
        ranked = [places[n] for n in sorted(places, key=lambda n: (losses[n], n))]
        for move in (
            # What may lie beyond a bound counts for more than what is not worth trying.
            *(_widened(dimension, ranked, side) for side in (-1, 1)),
            *(_narrowed(dimension, ranked, side) for side in (-1, 1) if may_narrow),
        ):
            if move is not None:
                low, high, reason = move
                return RangeMove(dimension.path, low, high, len(trials), reason)
    return None


def _widened(
    dimension: Dimension, ranked: Sequence[float], side: int
) -> tuple[float, float, str] | None:
    best = ranked[: len(ranked) // 4]
    crowd = sum(_distance(place, side) < _CROWDED_END for place in best)
    if _chance_of_at_least(crowd, len(best), _CROWDED_END) >= _SIGNIFICANCE:
        return None
    reason = f"{crowd} of the best {len(best)} trials lie in its {_end(side)} tenth"
    return _to(dimension, -_GROWTH if side < 0 else 1 + _GROWTH, side, reason)


def _narrowed(
    dimension: Dimension, ranked: Sequence[float], side: int
) -> tuple[float, float, str] | None:
    best = ranked[: len(ranked) // 2]
    if any(_distance(place, side) < _EMPTY_END for place in best):
        return None
    share = sum(_distance(place, side) < _EMPTY_END for place in ranked) / len(ranked)
    if (1 - share) ** len(best) >= _SIGNIFICANCE:
        return None
    reason = f"none of the best {len(best)} trials lies in its {_end(side)} fifth"
    return _to(dimension, _EMPTY_END if side < 0 else 1 - _EMPTY_END, side, reason)


def _to(
    dimension: Dimension, place: float, side: int, reason: str
) -> tuple[float, float, str] | None:
    """The range with one bound at a place on its scale, within the limits; None if it is there."""
    distribution, limits = dimension.distribution, dimension.limits
    assert not isinstance(distribution, Choice)
    assert limits is not None
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        bound = math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
    else:
        bound = low + place * (high - low)
    bound = float(f"{bound:.6g}")
    if distribution.step is not None and not distribution.log:
        bound = low + round((bound - low) / distribution.step) * distribution.step
    elif isinstance(distribution, Int):
        bound = round(bound)
    bound = min(max(bound, limits[0]), limits[1])
    moved = with_bounds(distribution, *((bound, high) if side < 0 else (low, bound)))
    if moved == distribution or not _is_range(moved):
        return None
    return *_bounds(replace(dimension, distribution=moved)), reason


def _to_limits(space: SearchSpace, trials: int) -> list[RangeMove]:
    """The moves that make every range as wide as it may become."""
    reason = _NONE_FOUND if math.isinf(space.size) else _EXHAUSTED
    return [
        RangeMove(dimension.path, *_bounds(dimension), trials, reason)
        for dimension in widest(space).dimensions
        if dimension != space.by_path[dimension.path]
    ]


def _counts(move: RangeMove, space: SearchSpace) -> bool:
    dimension = space.by_path.get(move.path)
    return (
        dimension is not None
        and dimension.limits is not None
        and move.written in (None, _bounds(dimension))
    )


def _bounds(dimension: Dimension) -> tuple[float, float]:
    assert not isinstance(dimension.distribution, Choice)
    return dimension.distribution.low, dimension.distribution.high


def _is_range(distribution: Distribution) -> bool:
    return not isinstance(distribution, Choice) and (
        distribution.low < distribution.high and distribution.size > 1
    )


def _distance(place: float, side: int) -> float:
    return place if side < 0 else 1 - place


def _end(side: int) -> str:
    return "lowest" if side < 0 else "highest"


def _chance_of_at_least(successes: int, tries: int, chance: float) -> float:
    return sum(
        math.comb(tries, k) * chance**k * (1 - chance) ** (tries - k)
        for k in range(successes, tries + 1)
    )


def _moved(dimension: Dimension, low: float, high: float) -> Dimension:
    assert dimension.limits is not None
    low, high = max(low, dimension.limits[0]), min(high, dimension.limits[1])
    distribution = with_bounds(dimension.distribution, low, high)
    if not _is_range(distribution):
        return dimension
    prior = dimension.prior
    if prior is not None and not can_give(distribution, prior.value):
        prior = None
    return replace(dimension, distribution=distribution, prior=prior)


def widest(space: SearchSpace) -> SearchSpace:
    """The space with every range as wide as it may ever become."""
    return replace(
        space,
        dimensions=tuple(
            replace(d, distribution=with_bounds(d.distribution, *d.limits)) if d.limits else d
            for d in space.dimensions
        ),
    )
