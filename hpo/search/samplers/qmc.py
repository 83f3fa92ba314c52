"""The sampler `qmc`: points that fill the space more evenly than independent draws."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from hpo.search.levels import level_count
from hpo.search.sampler import Setting
from hpo.space import SearchSpace
from hpo.spec.sections.search import Qmc
from hpo.trial import HParam, Trial


def make_qmc(spec: Qmc, space: SearchSpace, setting: Setting) -> QuasiRandomSearch:
    """The sampler `qmc` of a study."""
    return QuasiRandomSearch(space, setting.seed)


class QuasiRandomSearch:
    """Trial `k` gets point `k` of a scrambled Sobol' sequence, independently of all results.

    Each dimension that varies has its own coordinate, which it uses while it is active, as if it
    were a random number. After 2, 4, 8, ... trials each half, quarter, eighth, ... of every range
    has had an equal share of them.

    Sources: Sobol' 1967, "On the distribution of points in a cube and the approximate evaluation of
    integrals"; Owen 1998, "Scrambling Sobol' and Niederreiter-Xing points" (J. Complexity 14).
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._seed = seed
        # Constants take no coordinate, because the first coordinates are the most even ones.
        self._varies = [level_count(d.distribution) != 1 for d in space.dimensions]

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """The points of the next `n` trials."""
        import numpy as np
        from scipy.stats.qmc import Sobol

        coordinates = sum(self._varies)
        if coordinates == 0:
            return [self._space.at([0.0] * len(self._space)) for _ in range(n)]
        sequence = Sobol(coordinates, scramble=True, rng=np.random.default_rng(self._seed))
        if trials:  # SciPy fails to forward by 0
            sequence.fast_forward(len(trials))
        with warnings.catch_warnings():
            # A study's first ask is rarely for a power of two; the whole of its trials may be one.
            warnings.filterwarnings("ignore", "The balance properties of Sobol", UserWarning)
            points = sequence.random(n)
        positions = np.zeros((n, len(self._space)))
        positions[:, self._varies] = np.minimum(points, np.nextafter(1.0, 0.0))
        return [self._space.at(row) for row in positions.tolist()]
