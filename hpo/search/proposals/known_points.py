"""Known points, which are tried before the sampler is asked: `search.start`, `search.from`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpo.errors import HpoError
from hpo.search.sampler import Sampler
from hpo.space import SearchSpace, same_value
from hpo.trial import HParam, HParams, Trial

# Draws of what a point leaves open before it counts as forbidden.
_DRAWS = 1_000


class KnownFirst:
    """Proposes known points, in their order, before the sampler's own proposals.

    A point that some trial has is not tried again. So a resumed study goes on where it stopped, and
    points added between two runs come next. Values that a point leaves open are drawn from the seed
    and its place in the list.

    Raises:
        HpoError: for a point that rules forbid whatever is drawn.
    """

    def __init__(
        self, sampler: Sampler, space: SearchSpace, seed: int, points: Sequence[HParams]
    ) -> None:
        self._sampler = sampler
        self._points: list[dict[str, HParam]] = []
        for index, point in enumerate(points):
            complete = _completed(space, point, np.random.default_rng([seed, index, 3]))
            if complete is None:
                raise HpoError(
                    f"search.start[{index}]: the rules of the space forbid this point whatever the"
                    " values that it leaves open: change it, or remove it."
                )
            if complete not in self._points:
                self._points.append(complete)
        self._left, self._looked_at = list(self._points), 0

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """The points that are left, then the sampler's proposals, for the next `n` trials."""
        left = self._untried(trials)[:n]
        asked = [*trials, *(Trial(len(trials) + i, point) for i, point in enumerate(left))]
        more = self._sampler.ask(asked, n - len(left)) if len(left) < n else []
        return [*map(dict, left), *more]

    def _untried(self, trials: Sequence[Trial]) -> list[dict[str, HParam]]:
        """The points that no trial has; only trials that are new are looked at."""
        if len(trials) < self._looked_at:
            self._left, self._looked_at = list(self._points), 0
        if self._left:
            new = trials[self._looked_at :]
            self._left = [
                point
                for point in self._left
                if not any(_is_same(trial.hparams, point) for trial in new)
            ]
            self._looked_at = len(trials)
        return self._left


def _completed(
    space: SearchSpace, point: HParams, rng: np.random.Generator
) -> dict[str, HParam] | None:
    for _ in range(_DRAWS):
        hparams: dict[str, HParam] = {}
        for dimension, position in zip(
            space.dimensions, rng.random(len(space)).tolist(), strict=True
        ):
            if space.is_active(dimension, hparams):
                path = dimension.path
                hparams[path] = (
                    point[path] if path in point else dimension.distribution.at(position)
                )
        complete = space.completed(hparams)
        if space.broken_rule(complete) is None:
            return complete
    return None


def _is_same(one: HParams, other: HParams) -> bool:
    return one.keys() == other.keys() and all(same_value(one[path], other[path]) for path in one)
