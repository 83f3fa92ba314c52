"""The sampler `random`: independent draws. Other samplers begin with them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from hpo.errors import HpoError
from hpo.search.sampler import Given, Setting, free
from hpo.space import SearchSpace
from hpo.spec.sections.search import Random
from hpo.trial import HParam, HParams, Trial


def make_random(spec: Random, space: SearchSpace, setting: Setting) -> RandomSearch:
    """The sampler `random` of a study."""
    return RandomSearch(space, setting.seed)


@dataclass(frozen=True)
class RandomSearch:
    """Draws every trial from the space, independently of all results.

    Source: Bergstra and Bengio 2012, "Random search for hyper-parameter optimization" (JMLR 13).
    """

    space: SearchSpace
    seed: int
    given: Given = free

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """The draws of the next `n` trials."""
        asked = list(trials)
        for number in range(len(trials), len(trials) + n):
            asked.append(Trial(number, self.draw(number, self.given(asked))))
        return [dict(trial.hparams) for trial in asked[len(trials) :]]

    def draw(self, number: int, given: HParams | None = None) -> dict[str, HParam]:
        """The draw of trial `number`, beside what it is `given`."""
        key = np.array([self.seed, number], dtype=np.uint64)
        rng = np.random.Generator(np.random.Philox(key=key))
        if given:
            # Rules may forbid nearly everything beside what is given: then it is dropped.
            with suppress(HpoError):
                return self.space.draw(rng, given)
        return self.space.draw(rng)


def sampler_seed(seed: int, number: int) -> int:
    """A 32-bit seed for what a library draws for trial `number`."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
