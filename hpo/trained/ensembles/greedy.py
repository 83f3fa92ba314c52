"""Shares of models in an ensemble, chosen one model after another.

Source: Caruana et al. 2004, "Ensemble Selection from Libraries of Models" (ICML), Section 2, with
the replacement of Section 2.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

_ROUNDS = 50


def greedy_shares(
    predictions: Sequence[np.ndarray], loss_of: Callable[[np.ndarray], float], rounds: int = _ROUNDS
) -> np.ndarray:
    """The share of each model in the ensemble whose mean prediction has the least loss, `[K]`.

    Each round adds the model with which the mean has the least loss, the first one of a tie. The
    same model may be added again. The best of all rounds is kept, the first one of a tie: so the
    ensemble is never worse than the best model by these rows.
    """
    counts, total = np.zeros(len(predictions)), np.zeros_like(predictions[0])
    best, kept = np.inf, counts
    for size in range(1, rounds + 1):
        losses = [loss_of((total + one) / size) for one in predictions]
        # A loss that is no number is worse than all others.
        place = int(np.argmin(np.nan_to_num(losses, nan=np.inf)))
        counts = counts + (np.arange(len(counts)) == place)
        total = total + predictions[place]
        if losses[place] < best:
            best, kept = losses[place], counts
    if not kept.any():
        kept = np.arange(len(counts)) == 0
    shares: np.ndarray = kept / kept.sum()
    return shares
