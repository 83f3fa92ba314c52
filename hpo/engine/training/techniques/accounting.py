"""The privacy that trainings spend: Rényi divergences of DP-SGD, and `epsilon` from them.

Two data sets are neighbours if one has a row more.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

# The orders at which divergences are kept: dense where trainings of an epsilon of 1 to 10 need it.
ORDERS = np.array([1 + n / 10 for n in range(1, 100)] + [*range(11, 64), 128, 256, 512, 1024])
# A grid this much finer than the Gaussian, and this far out, is exact to rounding.
_FINE, _FAR = 8, 14.0


@lru_cache(maxsize=4096)
def step_divergences(rate: float, noise: float) -> np.ndarray:
    """The Rényi divergence of one step, at each of the `ORDERS`.

    A step reads each row with the probability `rate`, and its noise is `noise` times the clipping.

    Source: Mironov, Talwar and Zhang 2019, "Rényi differential privacy of the sampled Gaussian
    mechanism" (arXiv:1908.10530), Section 3.1: the expectation A_alpha, here as a sum over a grid.
    """
    if rate == 1:
        whole: np.ndarray = ORDERS / (2 * noise**2)
        return whole
    found = []
    width = min(noise, noise**2) / _FINE
    for order in ORDERS:
        # Gaussians of means 0 and `order` bound the integrand.
        z = np.arange(-_FAR * noise, order + _FAR * noise, width)
        ratio = np.logaddexp(math.log1p(-rate), math.log(rate) + (2 * z - 1) / (2 * noise**2))
        logs = order * ratio - np.square(z) / (2 * noise**2)
        most = logs.max()
        total = np.exp(logs - most).sum() * width / (noise * math.sqrt(2 * math.pi))
        found.append(max(0.0, most + math.log(total)) / (order - 1))
    return np.array(found)


def epsilon(divergences: np.ndarray, delta: float) -> float:
    """The smallest epsilon at `delta` that Rényi divergences at the `ORDERS` give.

    Divergences of steps, and of trainings of the same data, are added.

    Source: Canonne, Kamath and Steinke 2020, "The discrete Gaussian for differential privacy"
    (arXiv:2004.00010), Proposition 12.
    """
    bounds = divergences + np.log1p(-1 / ORDERS) - np.log(delta * ORDERS) / (ORDERS - 1)
    return max(0.0, float(bounds.min()))
