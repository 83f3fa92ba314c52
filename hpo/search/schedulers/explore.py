"""PBT's exploring: the hparams of a trial that goes on from the weights of another.

Only knobs change, because the weights belong to one program. Static hparams are the source's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hpo.registry import SCHEDULERS
from hpo.search.levels import level, level_count, level_of
from hpo.search.scheduler import Replacement
from hpo.space import Choice, Dimension, Distribution, Float, SearchSpace
from hpo.spec.changes import can_change, is_knob
from hpo.spec.marks import Spec
from hpo.spec.sections.scheduler import SchedulerSpec
from hpo.trial import Exploit, HParam, HParams, Trial

# Names the purpose of this stream of random numbers, which no sampler shares.
_EXPLORE = 7
# Draws of knobs that differ from those of other trials; a small space may have no such knobs.
_DRAWS = 10


@dataclass(frozen=True)
class Explorer:
    """Perturbs the knobs of a space: each is multiplied by one of `factors`, or drawn again.

    A number stays within its bounds. One that has few values (a choice, a step) goes to the nearest
    value, or to the next where that is the present one.

    Source: Jaderberg et al. 2017, "Population based training of neural networks"
    (arXiv:1711.09846), section 4.1.1: perturb and resample.
    """

    space: SearchSpace
    factors: tuple[float, ...]
    resample: float
    seed: int
    root: type[Spec]

    @cached_property
    def knobs(self) -> tuple[Dimension, ...]:
        """The dimensions that may change while a trial trains.

        A dimension that others depend on stays: they would come and go with it.
        """
        deciding = {d.when.path for d in self.space.dimensions if d.when is not None}
        for derived in self.space.derived:
            deciding |= set() if is_knob(derived.path, self.root) else derived.deciding
        return tuple(
            dimension
            for dimension in self.space.dimensions
            if dimension.path not in deciding
            and dimension.distribution.size > 1
            and can_change(dimension, self.root)
        )

    def exploits(
        self, replacements: Sequence[Replacement], trials: Sequence[Trial]
    ) -> dict[int, Exploit]:
        """The source and the new hparams of each replaced trial, by its number.

        They are a function of the seed, the trial's number, the epoch, and earlier replacements
        from the same source. With equal hparams these would be the same trial twice.
        """
        found: dict[int, Exploit] = {}
        for number, epoch, best in replacements:
            rng = np.random.default_rng([_EXPLORE, self.seed, number, epoch])
            source = trials[best[int(rng.random() * len(best))]]
            like = [one.hparams for one in found.values() if one.source == source.number]
            hparams = dict(source.hparams)  # where rules allow no others
            for _ in range(_DRAWS):
                drawn = self.explored(source.hparams, rng)
                if self.space.allows(drawn):
                    hparams = drawn
                    if drawn not in (source.hparams, *like):
                        break
            found[number] = Exploit(source.number, epoch, hparams)
        return found

    def explored(self, hparams: HParams, rng: np.random.Generator) -> dict[str, HParam]:
        """`hparams` with every knob perturbed."""
        found = dict(hparams)
        for dimension in self.knobs:
            # All three are drawn for every knob, so that knobs do not depend on one another.
            luck, position, pick = rng.random(3)
            value = hparams.get(dimension.path)
            if not isinstance(value, int | float):
                continue  # not active in this trial
            if luck < self.resample:
                found[dimension.path] = dimension.distribution.at(float(position))
            else:
                factor = self.factors[int(pick * len(self.factors))]
                found[dimension.path] = perturbed(dimension.distribution, value, factor)
        return self.space.completed(found)


def explorer_of(
    spec: SchedulerSpec, space: SearchSpace, seed: int, root: type[Spec]
) -> Explorer | None:
    """The explorer of a study whose scheduler changes hparams; None for the others."""
    if not SCHEDULERS[spec.name].changes_hparams:
        return None
    return Explorer(space, spec.factors, spec.resample, seed, root)


def perturbed(distribution: Distribution, value: float, factor: float) -> HParam:
    """`value` times `factor`, as near to it as the distribution allows."""
    aim = value * factor
    if isinstance(distribution, Float) and distribution.step is None:
        return min(max(aim, distribution.low), distribution.high)
    if isinstance(distribution, Choice):
        numbers = sorted(v for v in distribution.values if isinstance(v, int | float))
        here, nearest = _nearest(numbers, value), _nearest(numbers, aim)
        return numbers[_moved(here, nearest, factor, len(numbers))]
    count = level_count(distribution)
    assert count is not None
    here, nearest = level_of(distribution, value), level_of(distribution, aim)
    return level(distribution, _moved(here, nearest, factor, count))


def _moved(here: int, nearest: int, factor: float, count: int) -> int:
    """The index to go to: not `here`, unless that is the last one."""
    if nearest == here and factor != 1:
        nearest += 1 if factor > 1 else -1
    return min(max(nearest, 0), count - 1)


def _nearest(numbers: Sequence[float], value: float) -> int:
    return min(range(len(numbers)), key=lambda index: (abs(numbers[index] - value), index))
