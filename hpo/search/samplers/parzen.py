"""Optuna's Parzen estimator beside values that are given: what the others are likely to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
    from optuna.samplers._tpe.probability_distributions import _MixtureOfProductDistribution


def beside(given: Mapping[str, float]) -> type[_ParzenEstimator]:
    """The estimator of a `TPESampler` whose samples are to have these values.

    It is a mixture with a kernel for each trial. Where some coordinates are given, a kernel weighs
    as much more as it makes them likely, and the others come from the kernels as they are: of a
    mixture of products, that is the conditional distribution. Ratios of densities need no change,
    for the given part of them is the same for every sample.
    """
    from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator

    # Not a wrapper, because Optuna takes nothing but its own class and those that inherit from it.
    class Beside(_ParzenEstimator):
        def sample(self, rng: np.random.RandomState, size: int) -> dict[str, np.ndarray]:
            paths = list(self._search_space)
            columns = [column for column, path in enumerate(paths) if path in given]
            values = np.array([given[paths[column]] for column in columns])
            mixture = self._mixture_distribution
            weights = _weights(mixture, columns, values) if columns else mixture.weights
            sampled = mixture._replace(weights=weights).sample(rng, size)
            sampled[:, columns] = values
            return self._untransform(sampled)

    return Beside


def _weights(
    mixture: _MixtureOfProductDistribution, columns: Sequence[int], values: np.ndarray
) -> np.ndarray:
    """What each kernel of a mixture weighs beside the values of some columns."""
    logs = np.log(mixture.weights)
    for kernel in range(len(logs)):
        alone = _kernel(mixture, columns, kernel)
        logs[kernel] += alone.log_pdf(values[None, :]).item()
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / weights.sum())


def _kernel(
    mixture: _MixtureOfProductDistribution, columns: Sequence[int], kernel: int
) -> _MixtureOfProductDistribution:
    """One kernel of a mixture, in these columns alone."""
    from optuna.samplers._tpe.probability_distributions import _BatchedCategoricalDistributions

    one = [kernel]
    return mixture._replace(
        weights=np.ones(1),
        distributions=[
            each._replace(weights=each.weights[one])
            if isinstance(each, _BatchedCategoricalDistributions)
            else each._replace(mu=each.mu[one], sigma=each.sigma[one])
            for each in (mixture.distributions[column] for column in columns)
        ],
    )
