"""Proposals near where the user believes the optimum to be: `prior:` on dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from hpo.search.levels import level_of, position_of
from hpo.search.sampler import Given, Sampler, free
from hpo.space import Choice, Dimension, SearchSpace
from hpo.trial import HParam, Trial

# The most trials that are drawn around the prior: every other one, so that a wrong belief costs at
# most half of them.
_SHARE = 0.5
# From twice this many trials on, the share falls with one over the number of trials.
_CONFIDENCE = 5.0
# Of a draw around the prior, on the scale of its range from 0 to 1.
_DEVIATION = 0.25
# How much likelier the believed choice is than each of the others.
_ODDS = 4.0
# Draws before one that no rule forbids is left to the sampler.
_DRAWS = 100


class PriorSearch:
    """A sampler some of whose proposals are draws around the priors of the space.

    The first trial, number `first`, takes the priors themselves. Of the next ones half are drawn
    around them, by a normal distribution cut off at the bounds, and by odds of four to one among
    choices; from the tenth trial on that share is five over their number. Dimensions without a
    prior are drawn at random; all but the first take what they are `given` as it is. All else is
    the sampler's own; so a prior decays, whatever the sampler.

    Sources: Hvarfner et al. 2022, "piBO: Augmenting acquisition functions with user beliefs for
    Bayesian optimization" (ICLR; a belief whose weight falls with one over the number of trials);
    Mallik et al. 2023, "PriorBand: Practical hyperparameter optimization in the age of deep
    learning" (NeurIPS; draws from the prior beside uniform ones).
    """

    def __init__(
        self, sampler: Sampler, space: SearchSpace, seed: int, first: int, given: Given = free
    ) -> None:
        self._sampler = sampler
        self._space = space
        self._seed = seed
        self._first = first
        self._given = given

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """The sampler's proposals for the next `n` trials, some replaced by draws of the prior."""
        asked, total = list(trials), len(trials) + n
        while len(asked) < total:
            drawn = self._draw(asked)
            if drawn is not None:
                proposals = [drawn]
            else:
                end = next((k for k in range(len(asked) + 1, total) if self._is_prior(k)), total)
                proposals = self._sampler.ask(asked, end - len(asked))
                if not proposals:
                    break
            for hparams in proposals:
                asked.append(Trial(len(asked), hparams))
        return [dict(trial.hparams) for trial in asked[len(trials) :]]

    def _is_prior(self, number: int) -> bool:
        return self._rng(number).random() < prior_share(number - self._first)

    def _draw(self, trials: Sequence[Trial]) -> dict[str, HParam] | None:
        """The draw of the next trial around the prior, or None if the trial is the sampler's."""
        number = len(trials)
        if not self._is_prior(number):
            return None
        rng = self._rng(number)
        rng.random()  # the one that `_is_prior` looked at
        given = self._given(trials) if number > self._first else {}
        for attempt in range(_DRAWS):
            is_exact = number == self._first and attempt == 0
            hparams: dict[str, HParam] = {}
            for dimension, position in zip(
                self._space.dimensions, rng.random(len(self._space)).tolist(), strict=True
            ):
                if not self._space.is_active(dimension, hparams):
                    continue
                if is_exact and dimension.prior is not None:
                    hparams[dimension.path] = dimension.prior.value
                elif dimension.path in given:
                    hparams[dimension.path] = given[dimension.path]
                else:
                    hparams[dimension.path] = around(dimension, position)
            complete = self._space.completed(hparams)
            if self._space.broken_rule(complete) is None:
                return complete
        return None

    def _rng(self, number: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, number, 2])


def prior_share(number: int) -> float:
    """The chance that a trial is drawn around the prior: all of the first, and ever fewer."""
    return 1.0 if number <= 0 else min(_SHARE, _CONFIDENCE / number)


def around(dimension: Dimension, position: float) -> HParam:
    """The value at a share `position` of the belief about a dimension; of its range without one."""
    distribution, prior = dimension.distribution, dimension.prior
    if prior is None:
        return distribution.at(position)
    if isinstance(distribution, Choice):
        favourite = level_of(distribution, prior.value)
        weights = [_ODDS if i == favourite else 1.0 for i in range(len(distribution.values))]
        ends = np.cumsum(weights) / sum(weights)
        index = min(int(np.searchsorted(ends, position, side="right")), len(weights) - 1)
        return distribution.values[index]
    belief = NormalDist(position_of(distribution, prior.value), _DEVIATION)
    low, high = belief.cdf(0.0), belief.cdf(1.0)
    share = min(max(low + position * (high - low), 1e-12), 1 - 1e-12)
    return distribution.at(min(max(belief.inv_cdf(share), 0.0), np.nextafter(1.0, 0.0)))
