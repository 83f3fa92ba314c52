"""Random search: independent draws, and the random streams that all samplers share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpo.space import SearchSpace
from hpo.trial import HParam, Trial


@dataclass(frozen=True)
class RandomSearch:
    """Draws every trial from the space, whatever came of the others.

    Source: Bergstra and Bengio 2012, "Random search for hyper-parameter optimization" (JMLR 13).
    """

    space: SearchSpace
    seed: int

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """The draws of the next `n` trials."""
        return [self.draw(number) for number in range(len(trials), len(trials) + n)]

    def draw(self, number: int) -> dict[str, HParam]:
        """The draw of trial `number`; other samplers start with it."""
        key = np.array([self.seed, number], dtype=np.uint64)
        return self.space.draw(np.random.Generator(np.random.Philox(key=key)))


def sampler_seed(seed: int, number: int) -> int:
    """A 32-bit seed for what a library draws when it is asked for trial `number`."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
