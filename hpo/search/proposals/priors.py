"""Proposals near where the user believes the optimum to be: `prior:` on dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from hpo.search.levels import level_of, position_of
from hpo.search.sampler import Given, Sampler, free
from hpo.space import Choice, Dimension, SearchSpace
from hpo.trial import HParam, Trial

# The largest share of draws around the prior, so that a wrong prior costs at most half the trials.
_SHARE = 0.5
# From twice this number of trials on, the share is this number over the number of trials.
_CONFIDENCE = 5.0
# The standard deviation of draws around the prior, on the scale of the range from 0 to 1.
_DEVIATION = 0.25
# How much likelier the prior's choice is than each of the others.
_ODDS = 4.0
# Draws around the prior before a trial is left to the sampler, because rules forbid them.
_DRAWS = 100


class PriorSearch:
    """A sampler some of whose proposals are replaced by draws around the priors of the space.

    Trial `first` takes the priors themselves. Half of the next trials are drawn around them: from a
    normal distribution cut off at the bounds, and with odds of four to one among choices. From the
    tenth trial on the share is five over their number, so the prior decays, whatever the sampler.
    Dimensions without a prior are drawn at random. All draws but the first take over what is
    `given`.

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
        """Proposals for the next `n` trials, some of them draws around the prior."""
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
        """The next trial's draw around the prior; None if the sampler proposes that trial."""
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
    """The chance that a trial is drawn around the prior: 1 for the first, then falling."""
    return 1.0 if number <= 0 else min(_SHARE, _CONFIDENCE / number)


def around(dimension: Dimension, position: float) -> HParam:
    """The quantile `position` of a dimension's prior, or of its range without a prior."""
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
