"""The sampler `grid`: every combination once, in a seeded order that is never written out."""

from __future__ import annotations

from collections.abc import Sequence

from hpo.errors import HpoError
from hpo.search.combinations import Combinations, shuffled
from hpo.search.levels import level_count
from hpo.search.sampler import Setting
from hpo.space import SearchSpace
from hpo.spec.sections.search import Grid
from hpo.trial import HParam, Trial


def make_grid(spec: Grid, space: SearchSpace, setting: Setting) -> GridSearch:
    """The sampler `grid` of a study."""
    return GridSearch(space, setting.seed)


class GridSearch:
    """Proposes every combination of the space's levels; trial `k` gets the k-th of a shuffled list.

    Raises:
        HpoError: where a dimension is continuous.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        for dimension in space.dimensions:
            if level_count(dimension.distribution) is None:
                raise HpoError(
                    f"space.{dimension.path}: a grid needs a finite number of values: "
                    "give a step, or list them with choice."
                )
        self._space = space
        self._combinations = Combinations(space)
        self._seed = seed

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """The next `n` combinations; fewer, in the end none, at the end of the grid.

        None if rules forbid some of them and the space cannot count the rest: `Distinct` then
        proposes them in the same order.
        """
        if self._space.rules and not self._space.is_counted:
            return []
        size = self._combinations.size
        numbers = range(len(trials), min(len(trials) + n, size))
        return [self._combinations[shuffled(number, size, self._seed)] for number in numbers]
