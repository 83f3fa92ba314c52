"""The sampler `curve_gp`: Bayesian optimisation over hparams and epochs.

A proposal takes tens of milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np

from hpo.search.results.comparing import most_telling
from hpo.search.results.ranking import quantile_ranks
from hpo.search.sampler import Given, Setting, free
from hpo.search.samplers.gaussian_process import (
    GaussianProcess,
    Hyperparameters,
    Observations,
    fit_hyperparameters,
    log_expected_improvement,
)
from hpo.search.samplers.random import RandomSearch, sampler_seed
from hpo.search.samplers.unit_points import UnitPoints
from hpo.space import SearchSpace
from hpo.spec.sections.search import CurveGp
from hpo.trial import HParam, HParams, Trial, TrialState

# The most trials that the process is conditioned on, and that length scales are fitted to: the time
# of both is cubic.
_HISTORY, _FITTED = 200, 80
# Points at which the acquisition is evaluated: from the whole space, and around the best trials.
_ANYWHERE, _AROUND = 512, 512
# One trial in this many is a random draw, so that a wrong process can be corrected.
_DRAWN = 5
# The search by random steps: the best points that it moves, how often each, in how many rounds.
_PARENTS, _CHILDREN, _ROUNDS = 8, 12, 3


def make_curve_gp(spec: CurveGp, space: SearchSpace, setting: Setting) -> CurveProcessSearch:
    """The sampler `curve_gp` of a study."""
    return CurveProcessSearch(
        space, setting.seed, setting.epochs, spec.startup_trials, setting.given
    )


class CurveProcessSearch:
    """Fits a Gaussian process to the trials' ranks and maximises the expected improvement.

    A trial is a point in the space and in the epochs that it was trained for, on a logarithmic
    scale. So early losses inform the prediction of full trainings, as far as they correlate. A
    trial's value is the normal quantile of its rank (see `quantile_ranks`): proposals are the same
    for a loss and its logarithm, and a loss of 1e9 does no harm. Short trainings have additional
    noise.

    Proposals maximise the expected improvement after full training. Running trials without a result
    count with the loss that the process predicts ("kriging believer", Ginsbourger et al. 2010,
    "Kriging is well-suited to parallelize optimization"). The first `startup_trials` are random
    draws, and so is every fifth trial. The process sees the best 100 trials and the latest 100
    others; its length scales are fitted to 80 of them, once for all proposals of an ask. What a
    trial is `given` is taken over: the improvement is maximised over the points that have it.

    An ask is a function of the seed, the number of trials and the trials.

    Sources: Swersky et al. 2014, "Freeze-thaw Bayesian optimization", and Klein et al. 2017, "Fast
    Bayesian optimization of machine learning hyperparameters on large datasets" (AISTATS), for the
    fidelity as a dimension; Salinas et al. 2020, "A quantile-based approach for hyperparameter
    transfer learning" (ICML), for normal scores; Falkner et al. 2018, "BOHB" (ICML), for draws
    that keep a model from being worse than random search.
    """

    def __init__(
        self,
        space: SearchSpace,
        seed: int,
        epochs: int,
        startup_trials: int,
        given: Given = free,
    ) -> None:
        self._seed, self._epochs = seed, epochs
        self._startup_trials = startup_trials
        self._given = given
        self._random = RandomSearch(space, seed, given)
        self._points = UnitPoints(space)

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """Proposals for the next `n` trials, each aware of those before it."""
        places = quantile_ranks(trials)
        if len(places) < self._startup_trials or not len(self._points):
            return self._random.ask(trials, n)
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        # Matrices this small gain nothing from a second thread, which would wait in a busy loop.
        with threadpool_limits(limits=1):
            return self._proposals(trials, places, n)

    def _proposals(
        self, trials: Sequence[Trial], places: Mapping[int, float], n: int
    ) -> list[dict[str, HParam]]:
        scores = {number: _normal_score(place) for number, place in places.items()}
        numbers = most_telling(scores, _HISTORY)
        tried = self._points.of_trials([trials[number].hparams for number in numbers])
        seen = self._observations(trials, numbers, tried, scores)
        fitted = np.isin(numbers, most_telling(scores, _FITTED))
        hyper = fit_hyperparameters(
            Observations(
                seen.x[fitted], seen.groups, _standardized(seen.values[fitted]), seen.doubts[fitted]
            )
        )
        pending = self._points.of_trials(
            [
                trial.hparams
                for trial in trials
                if trial.state is TrialState.RUNNING and trial.number not in places
            ]
        )
        asked = list(trials)
        for number in range(len(trials), len(trials) + n):
            rng = np.random.default_rng(sampler_seed(self._seed, number))
            process = self._believing(seen, pending, hyper)
            given = self._given(asked)
            if number % _DRAWN == _DRAWN - 1:
                hparams = self._random.draw(number, given)
            else:
                point = self._most_promising(process, tried, pending, given, rng)
                hparams = self._points.hparams(point, given)
            asked.append(Trial(number, hparams))
            # The trial's own place, because rounding may have moved the point slightly.
            pending = np.concatenate([pending, self._points.of_trials([hparams])])
        return [dict(trial.hparams) for trial in asked[len(trials) :]]

    def _observations(
        self,
        trials: Sequence[Trial],
        numbers: Sequence[int],
        tried: np.ndarray,
        scores: Mapping[int, float],
    ) -> Observations:
        """The observations of the process; the last column is the share of a full training."""
        shares = np.array([self._share(trials[number]) for number in numbers])
        return Observations(
            self._columns(tried, shares),
            np.append(self._points.groups, len(self._points)),
            _standardized(np.array([scores[number] for number in numbers])),
            1 - shares,
        )

    def _believing(
        self, seen: Observations, pending: np.ndarray, hyper: Hyperparameters
    ) -> GaussianProcess:
        """The process, conditioned on its own predictions for running trials."""
        process = GaussianProcess(seen, hyper)
        if not len(pending):
            return process
        columns = self._columns(pending, np.ones(len(pending)))
        believed, _ = process.predict(columns)
        return GaussianProcess(
            Observations(
                np.concatenate([seen.x, columns]),
                seen.groups,
                np.concatenate([seen.values, believed]),
                np.concatenate([seen.doubts, np.zeros(len(pending))]),
            ),
            hyper,
        )

    def _most_promising(
        self,
        process: GaussianProcess,
        tried: np.ndarray,
        pending: np.ndarray,
        given: HParams,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """The point of largest expected improvement that a search by random steps finds.

        It looks only at points that have what is `given`, and starts from the best trials moved to
        such points.
        """
        means, _ = process.predict(self._columns(tried, np.ones(len(tried))))
        best = float(means.min())
        known = {point.tobytes() for point in np.concatenate([tried, pending]).round(9)}

        def gains(points: np.ndarray) -> np.ndarray:
            columns = self._columns(points, np.ones(len(points)))
            gain = log_expected_improvement(*process.predict(columns), best)
            is_known = [point.tobytes() in known for point in points.round(9)]
            return np.where(is_known, -np.inf, gain)

        origins = self._points.beside(tried, given)
        if given:
            means, _ = process.predict(self._columns(origins, np.ones(len(origins))))
        best_first = origins[np.argsort(means, kind="stable")[:_PARENTS]]
        parents = best_first[np.arange(_AROUND) % len(best_first)]
        steps = _log_uniform(0.01, 0.5, _AROUND, rng)
        anywhere = self._points.drawn(_ANYWHERE, rng)
        around = self._points.moved(parents, steps, 0.5, rng)
        points = self._points.beside(np.concatenate([anywhere, around]), given)
        gain = gains(points)
        for number in range(_ROUNDS):
            top = np.argsort(-gain, kind="stable")[:_PARENTS]
            parents = np.repeat(points[top], _CHILDREN, axis=0)
            steps = _log_uniform(0.003, 0.1 / 2**number, len(parents), rng)
            children = self._points.moved(parents, steps, 0.4, rng)
            children = self._points.beside(children, given)
            points = np.concatenate([points[top], children])
            gain = np.concatenate([gain[top], gains(children)])
        return np.asarray(points[np.argmax(gain)])

    def _columns(self, points: np.ndarray, shares: np.ndarray) -> np.ndarray:
        return np.concatenate([self._points.columns(points), shares[:, None]], axis=1)

    def _share(self, trial: Trial) -> float:
        """The share of a full training on a logarithmic scale: 1 epoch is 0, all of them are 1.

        An infeasible trial counts as fully trained, because training does not change its shape.
        """
        if self._epochs == 1 or trial.state is TrialState.INFEASIBLE:
            return 1.0
        return math.log(max(trial.epochs, 1)) / math.log(self._epochs)


def _normal_score(place: float) -> float:
    return NormalDist().inv_cdf(place)


def _standardized(values: np.ndarray) -> np.ndarray:
    deviation = values.std()
    centred = values - values.mean()
    return np.asarray(centred / deviation if deviation > 0 else centred)


def _log_uniform(low: float, high: float, count: int, rng: np.random.Generator) -> np.ndarray:
    return np.exp(rng.uniform(math.log(low), math.log(high), count))
