"""The temperature of a classifier: one number that makes its chances as good as they can be.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks" (arXiv:1706.04599), Section 4.2.
"""

from __future__ import annotations

import numpy as np

_LEAST = np.finfo(np.float64).tiny
# Of the temperature: beyond them chances are 0 and 1, or equal, to most digits.
_LOWEST, _HIGHEST = 0.05, 20.0


def fitted_temperature(
    predictions: np.ndarray, y: np.ndarray, weights: np.ndarray | None
) -> float | None:
    """The temperature with the least cross-entropy on some rows, from their chances `[N, K]`.

    None where none between 0.05 and 20 is best: of classes that are all found, say, the chances
    of the right ones would have to be 1.
    """
    if not np.isfinite(predictions).all():
        return None
    from scipy.optimize import brentq  # takes a tenth of a second to import

    logs = np.log(np.maximum(predictions, _LEAST))
    own = logs[np.arange(len(y)), y]

    def slope(cold: float) -> float:
        """The derivative of the cross-entropy by the inverse temperature, in which it is convex."""
        chances = tempered(predictions, 1 / cold)
        return float(np.average((chances * logs).sum(1) - own, weights=weights))

    coldest, hottest = 1 / _LOWEST, 1 / _HIGHEST
    if slope(coldest) <= 0 or slope(hottest) >= 0:
        return None
    return float(1 / brentq(slope, hottest, coldest, xtol=1e-12))


def tempered(predictions: np.ndarray, temperature: float) -> np.ndarray:
    """The chances `[N, K]` at a temperature: their logarithms divided by it. 1 changes no bit."""
    if temperature == 1:
        return predictions
    logs = np.log(np.maximum(predictions, _LEAST)) / temperature
    odds = np.exp(logs - logs.max(1, keepdims=True))
    found: np.ndarray = odds / odds.sum(1, keepdims=True)
    return found
