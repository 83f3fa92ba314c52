"""Moving ranges: widened where the best trials crowd, narrowed where none of them lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from hpo.search.levels import level_count, level_of, position_of
from hpo.search.proposals.warm_start import Translated
from hpo.search.results.comparing import comparable_losses
from hpo.search.sampler import Sampler
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

# Results before the first move, and trials proposed between two moves.
_FEWEST_RESULTS = 20
_PATIENCE = 10
# The significance at which a crowd at an end, or an empty end, is no accident.
_SIGNIFICANCE = 0.02
# Ends of a range, as shares of its scale, and by how much of it a bound moves out.
_CROWDED_END = 0.1
_EMPTY_END = 0.2
_GROWTH = 0.5
# Reasons why ranges became as wide as their limits; after such a move none is narrowed.
_EXHAUSTED = "every configuration in the ranges has been tried"
_NONE_FOUND = "no other configuration that the rules allow was found in the ranges"


class AdaptiveSearch:
    """A sampler over a space whose ranges move within the limits of their dimensions.

    `moves` gives the moves so far, and `record` stores a new one. `make` gives the sampler for the
    present ranges. Trials outside them keep their numbers, and the sampler learns nothing from
    them. Once the ranges are exhausted they become as wide as their limits; only when these are
    exhausted, too, are there fewer proposals.
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
        self._ranges: SearchSpace | None = None
        self._sampler: Sampler | None = None

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """The sampler's proposals for the next `n` trials, after a move if it is time for one."""
        moves = list(self._moves())
        ranges = with_moves(self._space, moves)
        # Where everything can be tried, an end that is cut off would only be tried later.
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
            self._sampler = Translated(
                self._make(ranges),
                lambda trial: trial.hparams if lies_within(ranges, trial.hparams) else None,
            )
        return self._sampler.ask(trials, n)


def with_moves(space: SearchSpace, moves: Sequence[RangeMove]) -> SearchSpace:
    """The space with the ranges that its dimensions have after these moves.

    A move counts while the spec's range is the one of the time when it was made. If the limits have
    changed, the range is cut to the present ones; if nothing is left, it is the spec's.
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
    """The next move of a range, from the trials; the last move was made after `since` trials.

    A bound moves out by half the range where more of the best quarter of the trials lie in the
    tenth next to it than chance explains. It moves in by a fifth where none of the best half lie in
    that fifth although others do, if ranges `may_narrow`. Both are binomial tests at 1 in 50. In a
    range with levels the tenth and the fifth are whole levels, at least one, with their own chance;
    such a range moves by whole levels and keeps two. Trials are compared by `comparable_losses`;
    the first dimension with a move wins.
    """
    if len(trials) < since + _PATIENCE:
        return None
    losses = comparable_losses(trials)
    for dimension in space.dimensions:
        if dimension.limits is None:
            continue
        distribution = dimension.distribution
        values = {
            trial.number: trial.hparams[dimension.path]
            for trial in trials
            if trial.number in losses
            and dimension.path in trial.hparams
            and can_give(distribution, trial.hparams[dimension.path])
        }
        if len(values) < _FEWEST_RESULTS:
            continue
        ranked = [values[n] for n in sorted(values, key=lambda n: (losses[n], n))]
        # Widening comes first: what lies beyond a bound matters more than an empty end.
        for moved in (_widened, _narrowed) if may_narrow else (_widened,):
            sides = [moved(dimension, ranked, side) for side in (-1, 1)]
            if best := min(filter(None, sides), default=None):
                return RangeMove(dimension.path, best.low, best.high, len(trials), best.reason)
    return None


class _End(NamedTuple):
    """One end of a range: a share of its scale, and the number of whole levels in it.

    `levels` is None if the range is continuous.
    """

    side: int
    share: float
    levels: int | None
    text: str

    def holds(self, distribution: Distribution, value: HParam) -> bool:
        """Whether a value of the range lies in this end."""
        if self.levels is None:
            place = position_of(distribution, value)
            return (place if self.side < 0 else 1 - place) < self.share
        count = level_count(distribution)
        assert count is not None
        index = level_of(distribution, value)
        return (index if self.side < 0 else count - 1 - index) < self.levels


def _end(distribution: Distribution, side: int, share: float, name: str) -> _End:
    """The end of a range next to a bound: a share of it, in whole levels and at least one."""
    assert not isinstance(distribution, Choice)
    which = "lowest" if side < 0 else "highest"
    count = level_count(distribution)
    if count is None:
        return _End(side, share, None, f"in its {which} {name}")
    if isinstance(distribution, Int) and distribution.log:
        low, high = math.log(distribution.low - 0.5), math.log(distribution.high + 0.5)
        inner = math.exp(low + share * (high - low) if side < 0 else high - share * (high - low))
        outer = distribution.low - 0.5 if side < 0 else distribution.high + 0.5
        levels = max(1, math.floor(abs(inner - outer) + 1e-9))
        actual = abs(math.log(outer - side * levels) - math.log(outer)) / (high - low)
    else:
        levels = max(1, math.floor(share * count + 1e-9))
        actual = levels / count
    place = f"in its {which} {name}" if actual <= share + 1e-9 else f"at its {which} value"
    return _End(side, actual, levels, place)


class _Candidate(NamedTuple):
    """A range that a dimension may get; the smallest is chosen: see `_widened`, `_narrowed`."""

    chance: float
    rank: int
    low: float
    high: float
    reason: str


def _widened(dimension: Dimension, ranked: Sequence[HParam], side: int) -> _Candidate | None:
    """The range with a bound moved out. Of two sides, the less likely by chance, or better."""
    distribution = dimension.distribution
    end = _end(distribution, side, _CROWDED_END, "tenth")
    best = ranked[: len(ranked) // 4]
    crowd = [rank for rank, value in enumerate(best) if end.holds(distribution, value)]
    chance = _chance_of_at_least(len(crowd), len(best), end.share)
    if chance >= _SIGNIFICANCE:
        return None
    bounds = _to(dimension, side, _outwards(distribution, side))
    reason = f"{len(crowd)} of the best {len(best)} trials lie {end.text}"
    return bounds and _Candidate(chance, crowd[0], *bounds, reason)


def _narrowed(dimension: Dimension, ranked: Sequence[HParam], side: int) -> _Candidate | None:
    """The range with a bound moved in. Of two sides, the less likely by chance, or worse."""
    distribution = dimension.distribution
    end = _end(distribution, side, _EMPTY_END, "fifth")
    ranks = [rank for rank, value in enumerate(ranked) if end.holds(distribution, value)]
    best = len(ranked) // 2
    if not ranks or ranks[0] < best:
        return None
    chance = (1 - len(ranks) / len(ranked)) ** best
    if chance >= _SIGNIFICANCE:
        return None
    bounds = _to(dimension, side, _inwards(distribution, end))
    reason = f"none of the best {best} trials lies {end.text}"
    return bounds and _Candidate(chance, -ranks[-1], *bounds, reason)


def _outwards(distribution: Distribution, side: int) -> float:
    """A bound moved out by half its range, by whole levels and at least one."""
    assert not isinstance(distribution, Choice)
    count = level_count(distribution)
    if count is None or distribution.log:
        bound = _at(distribution, -_GROWTH if side < 0 else 1 + _GROWTH)
        if count is None:
            return bound
        return (
            min(round(bound), distribution.low - 1)
            if side < 0
            else max(round(bound), distribution.high + 1)
        )
    more = max(1, math.floor(_GROWTH * count))
    return _level(distribution, -more if side < 0 else count - 1 + more)


def _inwards(distribution: Distribution, end: _End) -> float:
    """A bound moved in so that an end is cut off."""
    if end.levels is None:
        return _at(distribution, end.share if end.side < 0 else 1 - end.share)
    count = level_count(distribution)
    assert count is not None
    return _level(distribution, end.levels if end.side < 0 else count - 1 - end.levels)


def _at(distribution: Distribution, place: float) -> float:
    """The number at a place on a range's scale, or beyond it, to six digits."""
    assert not isinstance(distribution, Choice)
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        bound = math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
    else:
        bound = low + place * (high - low)
    return float(f"{bound:.6g}")


def _level(distribution: Distribution, index: int) -> float:
    """The level with an index, which may lie beyond the range."""
    assert not isinstance(distribution, Choice)
    step = 1 if distribution.log else distribution.step
    assert step is not None
    return distribution.low + index * step


def _to(dimension: Dimension, side: int, bound: float) -> tuple[float, float] | None:
    """The range with one bound moved, within the limits; None if that is no other range."""
    distribution, limits = dimension.distribution, dimension.limits
    assert not isinstance(distribution, Choice)
    assert limits is not None
    bound = min(max(bound, limits[0]), limits[1])
    low, high = (bound, distribution.high) if side < 0 else (distribution.low, bound)
    moved = with_bounds(distribution, low, high)
    if moved == distribution or not _is_range(moved):
        return None
    return _bounds(replace(dimension, distribution=moved))


def _to_limits(space: SearchSpace, trials: int) -> list[RangeMove]:
    """The moves that make every range as wide as its limits."""
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
    """The space with every range as wide as its limits."""
    return replace(
        space,
        dimensions=tuple(
            replace(d, distribution=with_bounds(d.distribution, *d.limits)) if d.limits else d
            for d in space.dimensions
        ),
    )
