"""What a sampler is: it proposes the hparams of the next trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from hpo.spec.sections.scheduler import SchedulerSpec
from hpo.trial import HParam, HParams, Trial

# Gives the hparams that the next trial takes over from its cohort, from all trials so far. A
# sampler chooses the others. With a dimension come those that its condition looks at.
Given: TypeAlias = Callable[[Sequence[Trial]], HParams]


class Sampler(Protocol):
    """Proposes hparams from all trials so far.

    A proposal is a function of the seed, the trial's number and the trials. A new sampler that gets
    the same trials proposes the same, so no sampler is stored. A sampler may propose a
    configuration that was tried before; `Distinct` replaces such proposals.
    """

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """Up to `n` proposals for the trials `len(trials)`, `len(trials) + 1`, ...

        Fewer than `n` once the space is exhausted. `trials[i].number` is `i`.
        """
        ...


def free(trials: Sequence[Trial]) -> HParams:
    """Nothing is given: the sampler chooses every hparam."""
    return {}


@dataclass(frozen=True)
class Setting:
    """The study that a sampler works for.

    `trials` is the study's total, `epochs` the full budget of each trial, `objectives` the number
    of metrics that are searched for at once. `given` says what a trial takes from its cohort.
    """

    seed: int
    trials: int
    epochs: int
    scheduler: SchedulerSpec
    objectives: int = 1
    given: Given = free
