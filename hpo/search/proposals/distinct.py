"""No configuration twice, and none that rules forbid: every proposal passes through here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence, Set
from itertools import islice

import numpy as np

from hpo.search.combinations import Combinations, shuffled
from hpo.search.levels import assemble, level_count, moved
from hpo.search.memory import Remembered
from hpo.search.proposals.remaining import drawn_continuous, remaining
from hpo.search.sampler import Given, Sampler, free
from hpo.space import NothingAllowedError, SearchSpace
from hpo.trial import HParam, HParams, Trial

# Draws of another configuration before one is taken in a fixed order.
_DRAWS = 64
# After this many of these draws one more dimension is changed.
_DRAWS_A_DISTANCE = 16
# Forbidden draws on top of these, and forbidden combinations in a row where the space also has
# continuous dimensions.
_MOST_FORBIDDEN = 1_000
_MOST_LOOKED_AT = 50_000


class _Tried:
    """The configurations of trials, and how far the seeded order of combinations is used up."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.first_left = 0  # all combinations before it, in that order, are tried or forbidden
        self.forbidden_in_a_row = 0  # of those just before it

    def see(self, before: Trial | None, after: Trial) -> None:
        if before is None:
            self.keys.add(_key(after.hparams))


class Distinct:
    """A sampler whose proposals are new configurations that the rules allow.

    Derived values are filled in. A proposal that was tried before, or is forbidden, is replaced by
    a draw. If the sampler is learning, it is replaced by a neighbour of its proposal, at first by
    one that keeps what the trial is `given`. If all of these are tried or forbidden, too, the
    replacement is:

    1. a draw in which a continuous dimension is active;
    2. the next combination of levels, in a seeded order;
    3. a configuration near those that were tried: see `remaining`.

    Once every configuration has been tried, or none is found, there are fewer proposals, in the end
    none. Proposals are a function of the seed, the trial's number and the trials. Apart from one
    look at each trial, the cost does not grow with their number.
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
        self._remembered = Remembered(_Tried)
        self._tried = _Tried()  # in the trials of the present ask
        self._exhausted: list[Trial] | None = None  # no other was found after these

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """Proposals for the next `n` trials, replaced where they are not new or not allowed."""
        self._tried = self._remembered.of(trials)
        asked, taken = list(trials), set[str]()
        left = self._left(taken)
        if self._space.size <= len(self._tried.keys) and next(self._left(taken), None) is None:
            return []
        total, at_once = len(trials) + n, n
        while len(asked) < total and asked != self._exhausted:
            try:
                at_once = min(at_once, total - len(asked))
                proposals = self._sampler.ask(asked, at_once)
            except NothingAllowedError:
                if at_once > 1:
                    # One at a time, so that a draw that fails does not take others with it.
                    at_once = 1
                    continue
                proposals = []
            for index in range(at_once):
                # A grid ends before the space does if others proposed some of the trials.
                proposal = self._completed(proposals[index]) if index < len(proposals) else None
                is_new = proposal is not None and self._is_new(proposal, taken)
                hparams = proposal if is_new else self._another(proposal, asked, taken, left)
                if hparams is None:
                    self._exhausted = asked
                    return [dict(trial.hparams) for trial in asked[len(trials) :]]
                taken.add(_key(hparams))
                asked.append(Trial(len(asked), hparams))
                if self._is_learning and not is_new:
                    break  # so that the next proposals know of this one
        return [dict(trial.hparams) for trial in asked[len(trials) :]]

    def _is_new(self, hparams: HParams, taken: Set[str]) -> bool:
        key = _key(hparams)
        return key not in self._tried.keys and key not in taken and self._is_allowed(hparams)

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
        """A new configuration in place of `proposal`; None if none is left."""
        # A stream of its own, so that a redraw is not the draw that was refused.
        rng = np.random.default_rng([self._seed, len(trials), 1])
        for candidate in self._nearby(proposal, trials, rng) if proposal is not None else ():
            if self._is_new(candidate, taken):
                return candidate
        # From here on neither the proposal nor the results matter.
        hparams = [trial.hparams for trial in trials]
        if self._exhausted is not None and hparams == [trial.hparams for trial in self._exhausted]:
            return None
        return self._other(hparams, taken, left)

    def _nearby(
        self, proposal: HParams, trials: Sequence[Trial], rng: np.random.Generator
    ) -> Iterator[dict[str, HParam]]:
        """Configurations in place of a proposal: near it if the sampler is learning."""
        space = self._space
        if self._is_learning:
            given = self._given(trials)
            # Where a cohort has tried all of its shape, the trial leaves the cohort.
            for kept in [given, {}] if given else [{}]:
                for attempt in range(_DRAWS):
                    yield self._completed(_neighbour(space, proposal, kept, attempt, rng))
            return
        allowed = 0
        for _ in range(_DRAWS + _MOST_FORBIDDEN):
            candidate = self._completed(space.at(rng.random(len(space)).tolist()))
            allowed += self._is_allowed(candidate)
            yield candidate
            if allowed == _DRAWS:
                return

    def _other(
        self, hparams: Sequence[HParams], taken: Set[str], left: Iterator[dict[str, HParam]]
    ) -> dict[str, HParam] | None:
        """A new configuration, whatever was proposed; None if none is found."""
        if not math.isinf(self._space.size):
            return next(left, None)
        rng = np.random.default_rng([self._seed, len(hparams), 2])
        found = self._first(islice(drawn_continuous(self._space, rng), _MOST_FORBIDDEN), taken)
        found = found or next(left, None)
        return found or self._first(remaining(self._space, hparams, rng), taken)

    def _first(
        self, candidates: Iterable[dict[str, HParam]], taken: Set[str]
    ) -> dict[str, HParam] | None:
        """The first candidate that is new and allowed; rules forbid most of them."""
        for candidate in map(self._completed, candidates):
            if self._is_allowed(candidate) and self._is_new(candidate, taken):
                return candidate
        return None

    def _left(self, taken: Set[str]) -> Iterator[dict[str, HParam]]:
        """The allowed combinations that are not tried or `taken`, in the seeded order."""
        if self._combinations is None:
            self._combinations = Combinations(self._space)
        size, row = self._combinations.size, self._tried.forbidden_in_a_row
        # Rules may forbid all combinations, and then nothing else ends the search.
        most = _MOST_LOOKED_AT if math.isinf(self._space.size) else math.inf
        for place in range(self._tried.first_left, size):
            if row >= most:
                return
            candidate = self._completed(self._combinations[shuffled(place, size, self._seed)])
            key, is_allowed = _key(candidate), self._is_allowed(candidate)
            row = 0 if is_allowed else row + 1
            if key in self._tried.keys or not is_allowed:
                if place == self._tried.first_left:
                    self._tried.first_left, self._tried.forbidden_in_a_row = place + 1, row
            elif key not in taken:
                yield candidate


def _neighbour(
    space: SearchSpace, proposal: HParams, kept: HParams, attempt: int, rng: np.random.Generator
) -> dict[str, HParam]:
    """A configuration near a model's proposal, which the model has reason to prefer.

    One dimension that is not `kept` is moved, after every 16 attempts one more. Dimensions that
    become active are drawn.
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
        values[path] = moved(space.by_path[path].distribution, proposal[path], 0.1, rng)
    return assemble(space, values)


def _key(hparams: HParams) -> str:
    # Text, because lists and mappings cannot be hashed and True equals 1.
    return json.dumps(hparams, sort_keys=True)
