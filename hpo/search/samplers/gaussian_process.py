"""A Gaussian process in NumPy: fitted in milliseconds, because trials may be as short."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

# The prior of log length scales: mean (in one dimension) and deviation. The mean grows with the
# number of dimensions as the distance between random points does.
# Source: Hvarfner et al. 2024, "Vanilla Bayesian optimization performs great in high dimensions".
_SCALE_MEAN, _SCALE_SPREAD = math.sqrt(2), math.sqrt(3)
# The prior of log variances of noise, for values of variance 1.
_NOISE_MEAN, _NOISE_SPREAD = -4.0, 1.5
# The start of the search for the most probable ones: variances of noise of 0.05 and 0.14.
_NOISE_START = (-3.0, -2.0)
_SCALE_BOUNDS, _NOISE_BOUNDS = (-3.5, 6.0), (-12.0, 1.0)
# Keeps a covariance matrix positive definite where two points are one.
_JITTER = 1e-6
_SQRT5 = math.sqrt(5)


class Observations(NamedTuple):
    """Values of mean 0 and variance 1 at points.

    `x` is [N, C] and `values` [N]. `groups` [C] is the length scale of each column. `doubts` [N] in
    [0, 1] is the share of the second noise in each value.
    """

    x: np.ndarray
    groups: np.ndarray
    values: np.ndarray
    doubts: np.ndarray


class Hyperparameters(NamedTuple):
    """Length scales of the groups; the noise of a value is `noise[0] + doubt * noise[1]`."""

    scales: np.ndarray
    noise: np.ndarray


class GaussianProcess:
    """A process of mean 0 with a Matern 5/2 kernel of variance 1, conditioned on observations.

    Source: Rasmussen and Williams 2006, "Gaussian processes for machine learning", Algorithm 2.1.
    """

    def __init__(self, seen: Observations, hyper: Hyperparameters) -> None:
        from scipy.linalg import cho_factor, cho_solve

        self._scales = hyper.scales[seen.groups]
        self._z = seen.x / self._scales
        covariance = _matern(_squared_distances(self._z, self._z))
        _add_noise(covariance, hyper.noise, seen.doubts)
        self._factor = cho_factor(covariance, lower=True, check_finite=False)
        self._weights = cho_solve(self._factor, seen.values, check_finite=False)

    def predict(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, without noise, at points [M, C]."""
        from scipy.linalg import solve_triangular

        cross = _matern(_squared_distances(x / self._scales, self._z))
        half = solve_triangular(self._factor[0], cross.T, lower=True, check_finite=False)
        variance = 1 - np.einsum("nm,nm->m", half, half)
        return cross @ self._weights, np.sqrt(np.maximum(variance, 1e-12))


def fit_hyperparameters(seen: Observations, steps: int = 20) -> Hyperparameters:
    """The most probable hyperparameters that a few steps of L-BFGS find."""
    from scipy.optimize import minimize

    x, groups = seen.x, seen.groups
    count = int(groups.max()) + 1
    gaps = np.stack(
        [_squared_distances(x[:, groups == group], x[:, groups == group]) for group in range(count)]
    )
    means = np.array([_SCALE_MEAN + math.log(count) / 2] * count + [_NOISE_MEAN] * 2)
    result = minimize(
        _negative_log_posterior,
        np.array([0.0] * count + [*_NOISE_START]),
        args=(gaps, seen, means),
        jac=True,
        method="L-BFGS-B",
        bounds=[_SCALE_BOUNDS] * count + [_NOISE_BOUNDS] * 2,
        options={"maxiter": steps},
    )
    return Hyperparameters(np.exp(result.x[:count]), np.exp(result.x[count:]))


def log_expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """The logarithm of the expected gain below `best`, accurate far above it, too.

    Source: Ament et al. 2023, "Unexpected improvements to expected improvement" (NeurIPS), eq. 9.
    """
    from scipy.special import ndtr

    z = (best - mean) / deviation
    log_density = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
    near = np.maximum(z, -5.0)
    gain = near * ndtr(near) + np.exp(-0.5 * near**2) / math.sqrt(2 * math.pi)
    # Far to the left, phi(z) + z Phi(z) tends to phi(z) / z^2.
    far = log_density - 2 * np.log(np.maximum(-z, 5.0))
    return np.asarray(np.where(z > -5.0, np.log(gain), far) + np.log(deviation))


def _negative_log_posterior(
    theta: np.ndarray, gaps: np.ndarray, seen: Observations, means: np.ndarray
) -> tuple[float, np.ndarray]:
    """Of the logarithms of scales and noise, with its gradient.

    Source: Rasmussen and Williams 2006, equations 5.8 and 5.9.
    """
    from scipy.linalg import cho_factor, cho_solve

    count = len(gaps)
    inverse, noise = np.exp(-2 * theta[:count]), np.exp(theta[count:])
    root = _SQRT5 * np.sqrt(np.tensordot(inverse, gaps, 1))
    decay = np.exp(-root)
    covariance = (1 + root + root**2 / 3) * decay
    _add_noise(covariance, noise, seen.doubts)
    factor = cho_factor(covariance, lower=True, check_finite=False)
    weights = cho_solve(factor, seen.values, check_finite=False)
    precision = cho_solve(factor, np.eye(len(weights)), check_finite=False)
    excess = np.outer(weights, weights) - precision
    spread = np.array([_SCALE_SPREAD] * count + [_NOISE_SPREAD] * 2)
    off = (theta - means) / spread
    value = 0.5 * seen.values @ weights + np.log(np.diagonal(factor[0])).sum() + 0.5 * off @ off
    slope = excess * (5 / 3 * (1 + root) * decay)
    along_noise = noise * [np.trace(excess), np.diagonal(excess) @ seen.doubts]
    gradient = np.concatenate([inverse * np.tensordot(gaps, slope, 2), along_noise])
    return float(value), off / spread - 0.5 * gradient


def _add_noise(covariance: np.ndarray, noise: np.ndarray, doubts: np.ndarray) -> None:
    covariance[np.diag_indices(len(covariance))] += noise[0] + noise[1] * doubts + _JITTER


def _matern(squared: np.ndarray) -> Any:
    root = _SQRT5 * np.sqrt(squared)
    return (1 + root + root**2 / 3) * np.exp(-root)


def _squared_distances(a: np.ndarray, b: np.ndarray) -> Any:
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T
    # Rounding makes some zeros negative.
    return np.maximum(squared, 0.0)
