"""A problem for searches: a search space, a learning curve of any hparams, a regret."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hpo.space import SearchSpace
from hpo.trial import HParams

Curve = Callable[[HParams, np.random.Generator], tuple[float, ...]]


@dataclass(frozen=True)
class Problem:
    """One table. `curve` gives the loss after each epoch; it stops before one that is not finite.

    `value` is the final loss of a configuration, without noise. `best` is the smallest known value
    and `typical` the median of random configurations. A regret is a share of the distance between
    these two.

    A study on a table of recorded configurations searches among these alone. `snap` replaces a
    proposal by the nearest one on axes scaled to [0, 1] that is not in `taken`, and adds it there.
    """

    name: str
    space: SearchSpace
    epochs: int
    curve: Curve
    value: Callable[[HParams], float]
    best: float
    typical: float
    snap: Callable[[HParams, set[int]], HParams] = lambda hparams, taken: hparams

    def regret(self, hparams: HParams) -> float:
        """0 for the best known configuration, 1 for a typical random one and all that are worse."""
        value = self.value(hparams)
        if not np.isfinite(value):
            return 1.0
        return float(np.clip((value - self.best) / (self.typical - self.best), 0.0, 1.0))
