"""What `auto` picks as the sampler and the scheduler of a study.

Pure functions of the spec, free of heavy imports, so that `hpo check` can print the picks. Types of
dimensions do not count, only conditions. On random tables of 6 to 20 choices of 4 to 12 values
each, the Gaussian process was ahead of TPE after 50 and after 100 trials.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from hpo.registry import SCHEDULERS
from hpo.search.levels import varying
from hpo.search.sampler import Setting
from hpo.space import SearchSpace
from hpo.spec.sections.scheduler import (
    AutoScheduler,
    Median,
    NoScheduler,
    Patience,
    SchedulerSpec,
    SuccessiveHalving,
)
from hpo.spec.sections.search import AutoSampler, CurveGp, Random, SamplerSpec, SearchSpec, Tpe
from hpo.spec.words import count_text

# In more dimensions a Gaussian process learns little from the few hundred trials that it sees.
_MOST_DIMENSIONS = 24
# From this number of results on TPE takes over: it looks at all of them, the process at 200.
_MOST_RESULTS = 400
# One trial in _ETA goes on, as in Li et al. 2020 (ASHA). Rungs start at 1/16 of a training, because
# most curves say nothing before.
_ETA, _FIRST_SHARE = 4, 16


class Pick(NamedTuple):
    """A sampler for a study with fewer results than `until`; None for any number."""

    spec: SamplerSpec
    until: int | None


@dataclass(frozen=True)
class SamplerPicks:
    """The samplers that take turns as results come in, and the reason."""

    picks: tuple[Pick, ...]
    why: str

    def text(self) -> str:
        """In words: `curve_gp, from 400 results on tpe (8 dimensions)`."""
        names: list[str] = [self.picks[0].spec.name]
        names += [
            f"from {count_text(before.until or 0, 'result')} on {pick.spec.name}"
            for before, pick in zip(self.picks, self.picks[1:], strict=False)
        ]
        return f"{', '.join(names)} ({self.why})"


def sampler_picks(space: SearchSpace, setting: Setting) -> SamplerPicks:
    """What the sampler `auto` picks for a study."""
    scheduler = setting.scheduler
    dimensions = [space.by_path[path] for path, _ in varying(space)]
    conditional = sum(dimension.when is not None for dimension in dimensions)
    tpe = Pick(Tpe(name="tpe"), None)
    if SCHEDULERS[scheduler.name].changes_hparams:
        draws = Pick(Random(name="random"), None)
        return SamplerPicks((draws,), f"{scheduler.name} changes hparams while trials train")
    if SCHEDULERS[scheduler.name].fits_sampler:
        return SamplerPicks((tpe,), f"{scheduler.name} fits it to one budget")
    if setting.objectives > 1:
        return SamplerPicks((tpe,), f"{setting.objectives} objectives")
    if len(dimensions) > _MOST_DIMENSIONS:
        why = f"{len(dimensions)} dimensions, more than {_MOST_DIMENSIONS}"
        return SamplerPicks((tpe,), why)
    if 2 * conditional > len(dimensions):
        why = f"{conditional} of {count_text(len(dimensions), 'dimension')} under a condition"
        return SamplerPicks((tpe,), why)
    verb = "varies" if len(dimensions) == 1 else "vary"
    count = count_text(len(dimensions), "dimension")
    why = f"{count} that {verb}" if dimensions else "nothing varies"
    process = CurveGp(name="curve_gp")
    if setting.trials <= _MOST_RESULTS:
        return SamplerPicks((Pick(process, None),), why)
    return SamplerPicks((Pick(process, _MOST_RESULTS), tpe), why)


def chosen_scheduler(spec: SchedulerSpec, epochs: int) -> SchedulerSpec:
    """The scheduler that a spec stands for: for `auto` its pick, else itself."""
    if not isinstance(spec, AutoScheduler):
        return spec
    if epochs < _ETA:
        return NoScheduler(name="none")
    least = max(1, epochs // _FIRST_SHARE)
    return SuccessiveHalving(name="successive_halving", min_epochs=least, eta=_ETA)


def _scheduler_text(spec: SchedulerSpec, epochs: int) -> str:
    """What a spec leaves open: `successive_halving, min_epochs 3, eta 4 (52 epochs)`."""
    share = count_text(epochs, "epoch")
    match spec:
        case AutoScheduler():
            chosen = chosen_scheduler(spec, epochs)
            if isinstance(chosen, SuccessiveHalving):
                return f"{chosen.name}, min_epochs {chosen.min_epochs}, eta {chosen.eta} ({share})"
            return f"{chosen.name} (with {share} there is nothing to stop early)"
        case Median(min_epochs=None):
            return f"min_epochs {spec.first_comparison(epochs)} ({share})"
        case Patience(epochs=None):
            return f"epochs {spec.patience(epochs)} (of {share})"
        case _:
            return ""


def picked(search: SearchSpec | None, space: SearchSpace, epochs: int) -> dict[str, str]:
    """The choices that a search leaves open, in words, by `sampler` and `scheduler`."""
    if search is None:
        return {}
    texts: dict[str, str] = {}
    if isinstance(search.sampler, AutoSampler):
        objectives = len(search.goal.objectives)
        # The picks are the same for every seed.
        setting = Setting(0, search.trials, epochs, search.scheduler, objectives)
        texts["sampler"] = sampler_picks(space, setting).text()
    if text := _scheduler_text(search.scheduler, epochs):
        texts["scheduler"] = text
    return texts
