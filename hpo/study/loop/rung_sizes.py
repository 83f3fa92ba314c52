"""The sizes of images where they grow from rung to rung."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from hpo.errors import HpoError
from hpo.spec.words import count_text


class RungSizes(NamedTuple):
    """The sizes of images at the rungs of a study: those with b / `epochs` of the pixels, at b.

    `longer` is the longer side of whole images.
    """

    longer: int
    epochs: int

    def at(self, budget: int) -> int | None:
        """The longer side at a rung, in whole pixels; None for whole images."""
        if not 0 < budget < self.epochs:
            return None
        # The nearest to longer * sqrt(budget / epochs), in whole numbers.
        twice = math.isqrt(4 * self.longer**2 * budget // self.epochs)
        return (twice + 1) // 2

    def of_all(self, budgets: Iterable[int]) -> tuple[int, ...]:
        """The sizes at these rungs that are smaller than whole images, smallest first.

        Raises:
            HpoError: where two rungs have images of the same size, or one has a single pixel.
        """
        found: dict[int, int] = {}
        for budget in sorted(budgets, reverse=True):
            size = self.at(budget) or self.longer
            if size in found or size < 2:
                side = count_text(size, "pixel")
                what = f"a rung of {budget} of {self.epochs} epochs has images of {side} a side"
                why = f", as one of {found[size]} has" if size in found else ""
                raise HpoError(
                    f"search.scheduler.budget: {what}{why}: raise eta or min_epochs, or write "
                    "budget: epochs."
                )
            found[size] = budget
        return tuple(sorted(size for size in found if size < self.longer))
