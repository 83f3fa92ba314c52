"""What a study knows besides its own trials, and how its sampler is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hpo.search.cohorts import Given, behind
from hpo.search.proposals.known_points import KnownFirst
from hpo.search.proposals.moving_ranges import AdaptiveSearch, lies_within
from hpo.search.proposals.priors import PriorSearch
from hpo.search.proposals.warm_start import Informed, InThisSpace, Lesson
from hpo.space import RangeMove, SearchSpace
from hpo.trial import HParams

if TYPE_CHECKING:
    from hpo.search.sampler import Sampler


@dataclass(frozen=True)
class Knowledge:
    """What a study knows besides its own trials.

    `points` are tried first, `lessons` come from other studies. `changed` are hparams of trials
    from an earlier space, as they are in this one: see `InThisSpace`. `moves` are those of its
    ranges so far, and `record` keeps another.
    """

    points: tuple[HParams, ...] = ()
    lessons: tuple[Lesson, ...] = ()
    changed: Mapping[int, HParams | None] = field(default_factory=dict)
    moves: Callable[[], Sequence[RangeMove]] = tuple
    record: Callable[[RangeMove], None] = lambda _: None


def knowing(
    known: Knowledge,
    space: SearchSpace,
    seed: int,
    given: Given,
    make: Callable[[SearchSpace, Given], Sampler],
    finish: Callable[[Sampler, SearchSpace], Sampler],
) -> Sampler:
    """A sampler that is told what its study knows.

    `make` gives the bare sampler of a space and of what trials are `given`, and `finish` what sees
    to proposals that may stand; draws around priors pass through it, too.
    """

    def over(ranges: SearchSpace) -> Sampler:
        lessons = [_within(ranges, lesson) for lesson in known.lessons]
        sampler = make(ranges, behind(given, sum(len(lesson.trials) for lesson in lessons)))
        if lessons:
            sampler = Informed(sampler, lessons)
        if any(dimension.prior for dimension in ranges.dimensions):
            sampler = PriorSearch(sampler, ranges, seed, len(known.points), given)
        return finish(sampler, ranges)

    if any(dimension.limits for dimension in space.dimensions):
        sampler: Sampler = AdaptiveSearch(over, space, known.moves, known.record)
    else:
        sampler = over(space)
    if known.points:
        sampler = KnownFirst(sampler, space, seed, known.points)
    return InThisSpace(sampler, known.changed) if known.changed else sampler


def _within(ranges: SearchSpace, lesson: Lesson) -> Lesson:
    """What a lesson tells of the ranges as they are: no sampler can place a trial outside them."""
    inside = tuple(trial for trial in lesson.trials if lies_within(ranges, trial.hparams))
    return replace(lesson, trials=inside)
