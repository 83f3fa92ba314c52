"""The samplers `gp`, `bayesian`, `forest`, `extra_trees`, `boosted_trees`, by scikit-optimize."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from statistics import fmean, pstdev
from typing import Any

from hpo.search.levels import assemble, is_stepped, level, level_count, level_of, varying
from hpo.search.results.comparing import comparable_losses, most_telling
from hpo.search.sampler import Setting
from hpo.search.samplers.random import RandomSearch, sampler_seed
from hpo.space import Choice, Distribution, Float, SearchSpace
from hpo.spec.sections.search import Surrogate
from hpo.trial import HParam, HParams, Trial, TrialState

ACQUISITIONS = {"ei": "EI", "lcb": "LCB", "pi": "PI", "hedge": "gp_hedge"}

# The most trials that a surrogate is fitted to: a Gaussian process takes cubic time.
_HISTORY = {"gp": 100, "bayesian": 100, "forest": 500, "extra_trees": 500, "boosted_trees": 500}

# Random points at which the acquisition is evaluated, and the number of them optimised further.
_CANDIDATES = {"n_points": 1000, "n_restarts_optimizer": 1}

# Steps of L-BFGS for the length scales of a Gaussian process.
_STEPS = 20

# The gain that PI looks for, in deviations of the losses; EI weighs gains itself.
_MARGIN = 0.01

# The length scales of a Gaussian process are fitted again when there are a tenth more results.
_REFIT = 10


def make_surrogate(spec: Surrogate, space: SearchSpace, setting: Setting) -> SurrogateSearch:
    """The sampler of a study that fits a surrogate model: `gp`, `forest`, ..."""
    return SurrogateSearch(spec, space, setting.seed)


class SurrogateSearch:
    """Fits a surrogate to the trials' losses and maximises its acquisition function.

    Every trial with at least one epoch counts, by its `comparable_losses`. Running trials without
    an epoch count with the mean of the others ("constant liar", CL-mean of Ginsbourger et al.
    2010), so that lanes do not all try the same. The minimum would make running trials look good
    where there are many lanes. Inactive dimensions lie in the middle of their range. The first
    `startup_trials` are random draws.

    An ask is a function of the seed, the trial's number and the trials: each fits a fresh
    scikit-optimize `Optimizer`. A Gaussian process sees the best 50 trials and the latest 50, trees
    250 and 250. Most of scikit-optimize's time goes into length scales. So they are fitted only
    when there are a tenth more results, without running trials, in a few steps from one start.
    Times and quality are in `benchmarks/README.md`.

    With `hedge` each proposal is by EI, LCB or PI with equal probability: the gains by which
    gp_hedge weighs them would need every model since the start.

    Source: Shahriari et al. 2016, "Taking the human out of the loop" (Proc. IEEE 104).
    """

    def __init__(self, spec: Surrogate, space: SearchSpace, seed: int) -> None:
        self._spec = spec
        self._space = space
        self._seed = seed
        self._random = RandomSearch(space, seed)
        self._varying = varying(space)
        self._fitted: tuple[list[list[Any]], list[float], Any] | None = None

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """Proposals for the next `n` trials, each aware of those before it."""
        losses = comparable_losses(trials)
        if len(losses) < self._spec.startup_trials or not self._varying:
            return self._random.ask(trials, n)
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        asked = list(trials)
        # Matrices this small gain nothing from a second thread, which would wait in a busy loop.
        with threadpool_limits(limits=1):
            for number in range(len(trials), len(trials) + n):
                asked.append(Trial(number, self._propose(number, asked, losses)))
        return [dict(trial.hparams) for trial in asked[len(trials) :]]

    def _propose(
        self, number: int, trials: Sequence[Trial], losses: dict[int, float]
    ) -> dict[str, HParam]:
        import skopt

        seen = most_telling(losses, _HISTORY[self._spec.name])
        points = [self._point(trials[seen_number].hparams) for seen_number in seen]
        values = _standardized([losses[seen_number] for seen_number in seen])
        pending = [
            trial
            for trial in trials
            if trial.state is TrialState.RUNNING and trial.number not in losses
        ]
        optimizer = skopt.Optimizer(
            self._dimensions,
            base_estimator=self._estimator(trials, losses, sampler_seed(self._seed, number)),
            n_initial_points=0,
            acq_func=ACQUISITIONS[self._spec.acquisition],
            acq_func_kwargs={"xi": 0.0 if self._spec.acquisition == "ei" else _MARGIN},
            acq_optimizer_kwargs=_CANDIDATES,
            random_state=sampler_seed(self._seed, number),
        )
        with warnings.catch_warnings():
            # In a small space every point is evaluated in the end; then a random one is fine.
            warnings.filterwarnings("ignore", "The objective has been evaluated", UserWarning)
            optimizer.tell(
                points + [self._point(trial.hparams) for trial in pending],
                values + [0.0] * len(pending),
            )
            proposed = optimizer.ask()
        return assemble(
            self._space,
            {
                path: _from_skopt(distribution, value)
                for (path, distribution), value in zip(self._varying, proposed, strict=True)
            },
        )

    @cached_property
    def _dimensions(self) -> list[Any]:
        """The dimensions that vary, for scikit-optimize."""
        return [_dimension(distribution) for _, distribution in self._varying]

    @cached_property
    def _unit_cube(self) -> Any:
        """The same as its Gaussian process sees them: from 0 to 1."""
        from skopt.space import Space
        from skopt.utils import normalize_dimensions

        return Space(normalize_dimensions(self._dimensions))

    def _point(self, hparams: HParams) -> list[Any]:
        """A trial as a point for scikit-optimize; inactive dimensions in mid-range."""
        return [
            _to_skopt(distribution, hparams[path] if path in hparams else distribution.at(0.5))
            for path, distribution in self._varying
        ]

    def _estimator(self, trials: Sequence[Trial], losses: dict[int, float], seed: int) -> Any:
        """The surrogate model, not yet fitted; a Gaussian process has its length scales fixed."""
        from skopt.utils import cook_estimator

        if self._spec.name == "boosted_trees":
            return _boosted_trees(seed)
        if self._spec.name in ("forest", "extra_trees"):
            kind = "RF" if self._spec.name == "forest" else "ET"
            # Leaves of three trials, scikit-optimize's default, are too coarse for 40 trials.
            return cook_estimator(kind, random_state=seed, min_samples_leaf=1)
        numbers = sorted(losses)
        growth = max(1, len(numbers) // _REFIT)
        settled = numbers[: len(numbers) // growth * growth]
        # Computed again, because a later trial may change the expected losses of these.
        losses = comparable_losses([trials[number] for number in settled])
        seen = most_telling(losses, _HISTORY["gp"])
        points = [self._point(trials[number].hparams) for number in seen]
        values = _standardized([losses[number] for number in seen])
        if self._fitted is None or self._fitted[:2] != (points, values):
            self._fitted = (points, values, self._fit_process(points, values))
        return self._fitted[2]

    def _fit_process(self, points: list[list[Any]], values: list[float]) -> Any:
        """A Gaussian process with length scales and noise fitted to these values."""
        from sklearn.exceptions import ConvergenceWarning
        from skopt.learning import GaussianProcessRegressor
        from skopt.utils import cook_estimator

        seed = sampler_seed(self._seed, 0)
        process = cook_estimator("GP", space=self._dimensions, random_state=seed)
        process.set_params(n_restarts_optimizer=0, optimizer=_few_steps)
        with warnings.catch_warnings():
            # The length scale of a dimension without influence ends at the upper limit.
            warnings.simplefilter("ignore", ConvergenceWarning)
            process.fit(self._unit_cube.transform(points), values)
        return GaussianProcessRegressor(
            # Without the noise term, which scikit-optimize adds itself.
            kernel=process.kernel_.k1,
            noise=process.noise_,
            optimizer=None,
            normalize_y=True,
        )


def _few_steps(
    objective: Callable[[Any], tuple[float, Any]], start: Any, bounds: Any
) -> tuple[Any, float]:
    """An optimizer of hyperparameters, as scikit-learn calls it."""
    from scipy.optimize import minimize

    options = {"maxiter": _STEPS}
    found = minimize(objective, start, method="L-BFGS-B", jac=True, bounds=bounds, options=options)
    return found.x, found.fun


def _standardized(losses: list[float]) -> list[float]:
    """Losses with mean 0 and deviation 1, the scale that the margin of PI is meant for."""
    center, spread = fmean(losses), pstdev(losses)
    return [(loss - center) / spread if spread > 0 else 0.0 for loss in losses]


def _dimension(distribution: Distribution) -> Any:
    """A dimension for scikit-optimize, which fails on choices that are not all text."""
    from skopt.space import Categorical, Integer, Real

    if isinstance(distribution, Choice):
        return Categorical([str(index) for index in range(len(distribution.values))])
    if is_stepped(distribution):
        return Integer(0, (level_count(distribution) or 1) - 1)
    prior = "log-uniform" if distribution.log else "uniform"
    kind = Real if isinstance(distribution, Float) else Integer
    return kind(distribution.low, distribution.high, prior=prior)


def _to_skopt(distribution: Distribution, value: HParam) -> Any:
    if isinstance(distribution, Choice):
        return str(level_of(distribution, value))
    return level_of(distribution, value) if is_stepped(distribution) else value


def _from_skopt(distribution: Distribution, value: Any) -> HParam:
    """The value as Python's own type, back inside limits that rounding may have crossed."""
    if isinstance(distribution, Choice) or is_stepped(distribution):
        return level(distribution, int(value))
    kind = float if isinstance(distribution, Float) else int
    return kind(min(max(value, distribution.low), distribution.high))


def _boosted_trees(seed: int) -> Any:
    """Scikit-optimize's boosted quantile trees, adapted to current NumPy and scikit-learn.

    Scikit-learn >= 1.6 does not accept its class as a regressor, and it calls `numpy.in1d`, which
    NumPy 2.4 has removed.
    """
    import numpy as np
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.utils import RegressorTags
    from skopt.learning import GradientBoostingQuantileRegressor

    class QuantileTrees(GradientBoostingQuantileRegressor):  # type: ignore[misc]
        def __sklearn_tags__(self) -> Any:
            tags = super().__sklearn_tags__()
            tags.estimator_type = "regressor"
            tags.regressor_tags = RegressorTags()
            return tags

        def predict(self, X: Any, return_std: bool = False) -> Any:  # noqa: N803
            low, middle, high = np.stack([tree.predict(X) for tree in self.regressors_])
            return (middle, (high - low) / 2) if return_std else middle

    trees = GradientBoostingRegressor(n_estimators=30, loss="quantile")
    return QuantileTrees(base_estimator=trees, random_state=seed)
