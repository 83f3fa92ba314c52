"""No configuration twice and none that is forbidden: every proposal passes through here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence, Set
from itertools import islice, product
from typing import TYPE_CHECKING

import numpy as np

from hpo.search.cohorts import Given, free
from hpo.search.combinations import Combinations, shuffled
from hpo.search.levels import assemble, level_count, position_of
from hpo.space import Choice, Distribution, SearchSpace
from hpo.trial import HParam, HParams, Trial

if TYPE_CHECKING:
    from hpo.search.sampler import Sampler

# How often another configuration is drawn before one is looked for in order.
_DRAWS = 64
# Of these draws so many in a row change the same number of dimensions.
_DRAWS_A_DISTANCE = 16
# Draws with a continuous dimension before rules count as forbidding all of those, and combinations
# beside them that are looked at in a row.
_DRAWS_BY_RULES = 1_000
_MOST_LOOKED_AT = 50_000


class Distinct:
    """A sampler whose proposals are new: not tried, under way or twice, and allowed by the rules.

    Derived values are filled in. A known or forbidden one is replaced by a draw or, if the sampler
    is learning, by a neighbour of what it wanted, at first by one that keeps what the trial is
    `given`. Where such attempts only meet more of those, a value of a continuous dimension is
    drawn, or where rules leave none, the first combination without one that is left in a seeded
    order is taken. Once every configuration has been tried there are fewer proposals, at last none.
    All this is a function of the seed, the trial's number and the trials.

    Its cost does not grow with the number of trials, but for a look at each of them.
    """

    def __init__(
        self,
        sampler: Sampler,
        space: SearchSpace,
        seed: int,
        is_learning: bool,
        given: Given = free,
    ) -> None:
        self._sampler = sampler
        self._space = space
        self._seed = seed
        self._is_learning = is_learning
        self._given = given
        self._combinations: Combinations | None = None
        self._seen: list[HParams] = []
        self._tried: set[str] = set()
        self._next = 0  # every combination before it, in the seeded order, is tried or forbidden

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """The sampler's proposals for the next `n` trials, those known replaced by others."""
        self._follow(trials)
        asked, taken = list(trials), set[str]()
        left = self._left(taken)
        if self._space.size <= len(self._tried) and next(self._left(taken), None) is None:
            return []
        total = len(trials) + n
        while len(asked) < total:
            proposals = self._sampler.ask(asked, total - len(asked))
            for index in range(total - len(asked)):
                # A grid ends before the space does if some trials were not of its making.
                proposal = self._completed(proposals[index]) if index < len(proposals) else None
                is_new = proposal is not None and self._is_new(proposal, taken)
                hparams = proposal if is_new else self._another(proposal, asked, taken, left)
                if hparams is None:
                    return [dict(trial.hparams) for trial in asked[len(trials) :]]
                taken.add(_key(hparams))
                asked.append(Trial(len(asked), hparams))
                if self._is_learning and not is_new:
                    break  # the next proposals are to be aware of this one
        return [dict(trial.hparams) for trial in asked[len(trials) :]]

    def _follow(self, trials: Sequence[Trial]) -> None:
        """Bring what has been tried in step with `trials`, which mostly grow."""
        known = len(self._seen)
        if len(trials) < known or any(
            trial.hparams is not hparams and trial.hparams != hparams
            for trial, hparams in zip(trials, self._seen, strict=False)
        ):
            known = self._next = 0
            self._seen.clear()
            self._tried.clear()
        for trial in islice(trials, known, None):
            self._seen.append(trial.hparams)
            self._tried.add(_key(trial.hparams))

    def _is_new(self, hparams: HParams, taken: Set[str]) -> bool:
        key = _key(hparams)
        return key not in self._tried and key not in taken and self._is_allowed(hparams)

    def _is_allowed(self, hparams: HParams) -> bool:
        return self._space.broken_rule(hparams) is None

    def _completed(self, hparams: dict[str, HParam]) -> dict[str, HParam]:
        return self._space.completed(hparams) if self._space.derived else hparams

    def _another(
        self,
        proposal: HParams | None,
        trials: Sequence[Trial],
        taken: Set[str],
        left: Iterator[dict[str, HParam]],
    ) -> dict[str, HParam] | None:
        """A new configuration in place of `proposal`; None where there is none left."""
        # A stream of its own, so that a redraw is not the draw that has been refused.
        rng = np.random.default_rng([self._seed, len(trials), 1])
        if proposal is not None:
            given = self._given(trials)
            # A cohort that has tried all of its shape loses a trial to others rather than none.
            for kept, attempt in product([given, {}] if given else [{}], range(_DRAWS)):
                candidate = self._completed(
                    _neighbour(self._space, proposal, kept, attempt, rng)
                    if self._is_learning
                    else self._space.draw(rng)
                )
                if self._is_new(candidate, taken):
                    return candidate
        if math.isinf(self._space.size):
            for _ in range(_DRAWS_BY_RULES):
                candidate = self._completed(_drawn_continuous(self._space, rng))
                if self._is_new(candidate, taken):
                    return candidate
        found = next(left, None)
        if found is None and math.isinf(self._space.size):
            # What rules hardly ever allow may still be met by a draw that goes on until they do.
            candidate = self._space.draw(rng)
            found = candidate if self._is_new(candidate, taken) else None
        return found

    def _left(self, taken: Set[str]) -> Iterator[dict[str, HParam]]:
        """The allowed combinations that are neither tried nor `taken`, in the seeded order."""
        if self._combinations is None:
            self._combinations = Combinations(self._space)
        size = end = self._combinations.size
        if math.isinf(self._space.size):
            # Rules may forbid all of them, and then nothing else says that the search is vain.
            end = min(size, self._next + _MOST_LOOKED_AT)
        for place in range(self._next, end):
            candidate = self._completed(self._combinations[shuffled(place, size, self._seed)])
            key = _key(candidate)
            if key in self._tried or not self._is_allowed(candidate):
                self._next += place == self._next
            elif key not in taken:
                yield candidate


def _neighbour(
    space: SearchSpace, proposal: HParams, kept: HParams, attempt: int, rng: np.random.Generator
) -> dict[str, HParam]:
    """A configuration near a model's proposal: the model knows why it wants to be there.

    One dimension is moved that is not `kept`, after every 16 attempts one more. What the move makes
    active is drawn.
    """
    paths = [
        path
        for path in proposal
        if path in space.by_path
        and path not in kept
        and level_count(space.by_path[path].distribution) != 1
    ]
    changes = min(1 + attempt // _DRAWS_A_DISTANCE, len(paths))
    values: dict[str, HParam] = {
        dimension.path: dimension.distribution.at(float(position))
        for dimension, position in zip(space.dimensions, rng.random(len(space)), strict=True)
    }
    values |= proposal
    for index in rng.permutation(len(paths))[:changes]:
        path = paths[index]
        values[path] = _moved(space.by_path[path].distribution, proposal[path], rng)
    return assemble(space, values)


def _moved(distribution: Distribution, value: HParam, rng: np.random.Generator) -> HParam:
    count = level_count(distribution)
    if isinstance(distribution, Choice):
        return distribution.at(float(rng.random()))
    # A tenth of the range, or a step where that is more.
    width = max(0.1, 1.0 / count if count is not None and not distribution.log else 0.0)
    place = position_of(distribution, value) + width * float(rng.standard_normal())
    return distribution.at(min(max(place, 0.0), math.nextafter(1.0, 0.0)))


def _drawn_continuous(space: SearchSpace, rng: np.random.Generator) -> dict[str, HParam]:
    """A draw in which a continuous dimension is active: surely a new configuration."""
    continuous = [d for d in space.dimensions if level_count(d.distribution) is None]
    dimension = continuous[int(rng.integers(len(continuous)))]
    values: dict[str, HParam] = {
        d.path: d.distribution.at(float(position))
        for d, position in zip(space.dimensions, rng.random(len(space)), strict=True)
    }
    while (when := dimension.when) is not None:
        dimension = space.by_path[when.path]
        wanted = when.values[int(rng.integers(len(when.values)))]
        values[when.path] = dimension.distribution.at(position_of(dimension.distribution, wanted))
    return assemble(space, values)


def _key(hparams: HParams) -> str:
    # Text, because lists and mappings cannot be hashed and True equals 1.
    return json.dumps(hparams, sort_keys=True)
