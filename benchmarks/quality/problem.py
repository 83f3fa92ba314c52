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

    `value` is what a configuration is worth in the end, without noise; `best` is the smallest that
    is known and `typical` the median of random configurations: a regret is told in shares of the
    distance between them.

    A study on a table of some configurations is a search among these, with their own values and
    curves, for every search alike: `snap` gives the one that stands for a proposal. It is the
    nearest, on axes scaled to [0, 1], that is not in `taken`, to which it is added.
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
