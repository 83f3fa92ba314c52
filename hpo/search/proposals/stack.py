"""All that stands between a bare sampler and the trials of a study, in one function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hpo import registry
from hpo.errors import HpoError
from hpo.search.auto import Pick, sampler_picks
from hpo.search.proposals.bohb import fitted_per_rung
from hpo.search.proposals.cohorts import behind, given_in
from hpo.search.proposals.distinct import Distinct
from hpo.search.proposals.known_points import KnownFirst
from hpo.search.proposals.moving_ranges import AdaptiveSearch, lies_within
from hpo.search.proposals.priors import PriorSearch
from hpo.search.proposals.warm_start import EarlierStudy, Translated, WarmStart, WarmStarted
from hpo.search.sampler import Sampler, Setting
from hpo.space import SearchSpace
from hpo.spec.experiment import Experiment
from hpo.spec.load import require_search
from hpo.spec.sections.search import AutoSampler, SamplerSpec, missing_package
from hpo.trial import HParam, Trial


def make_sampler(
    spec: SamplerSpec, space: SearchSpace, setting: Setting, warm_start: WarmStart | None = None
) -> Sampler:
    """The sampler that a spec names, inside all that changes what it sees and what it proposes.

    Raises:
        HpoError: if it cannot search this space, or needs a package that is not installed.
    """
    if text := missing_package(spec):
        raise HpoError(f"search.sampler: {text}.")
    if isinstance(spec, AutoSampler):
        picks = sampler_picks(space, setting).picks
        return AutoSearch(picks, lambda pick: make_sampler(pick, space, setting, warm_start))
    known = warm_start or WarmStart()
    learns = is_learning(spec, space, setting)

    def over(ranges: SearchSpace) -> Sampler:
        """The proposals for one state of the ranges, each of them new and allowed."""
        studies = [_within(ranges, study) for study in known.studies] if learns else []
        count = sum(len(study.trials) for study in studies)
        shown = replace(setting, given=behind(setting.given, count))
        if registry.SCHEDULERS[setting.scheduler.name].fits_sampler:
            sampler = fitted_per_rung(_bare, spec, setting.scheduler, ranges, shown)
        else:
            sampler = _bare(spec, ranges, shown)
        if studies:
            sampler = WarmStarted(sampler, studies)
        if any(dimension.prior for dimension in ranges.dimensions):
            first = len(known.points)
            sampler = PriorSearch(sampler, ranges, setting.seed, first, setting.given)
        return Distinct(sampler, ranges, setting.seed, learns, setting.given)

    if any(dimension.limits for dimension in space.dimensions):
        sampler: Sampler = AdaptiveSearch(over, space, known.moves, known.record)
    else:
        sampler = over(space)
    if known.points:
        sampler = KnownFirst(sampler, space, setting.seed, known.points)
    if known.translated:
        sampler = Translated(sampler, lambda t: known.translated.get(t.number, t.hparams))
    return sampler


def setting_of(experiment: Experiment) -> Setting:
    """The setting of an experiment's sampler."""
    search, train = require_search(experiment), experiment.training.train
    return Setting(
        train.seed,
        search.trials,
        train.epochs,
        search.scheduler,
        len(search.goal.objectives),
        given_in(search, experiment.space, type(experiment.training)),
    )


def is_learning(spec: SamplerSpec, space: SearchSpace, setting: Setting) -> bool:
    """Whether a sampler, or any that `auto` picks, looks at results."""
    if isinstance(spec, AutoSampler):
        picks = sampler_picks(space, setting).picks
        return any(is_learning(pick.spec, space, setting) for pick in picks)
    return bool(registry.SAMPLERS[spec.name].learns)


class AutoSearch:
    """Asks one sampler after the other, by the number of the study's trials that have a result.

    `make` gives a sampler with its whole stack, so that trials of earlier studies do not count.
    """

    def __init__(self, picks: Sequence[Pick], make: Callable[[SamplerSpec], Sampler]) -> None:
        self._turns = [(pick.until, make(pick.spec)) for pick in picks]

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        """The proposals of the sampler for this number of results."""
        results = sum(1 for trial in trials if trial.losses)
        sampler = next(s for until, s in self._turns if until is None or results < until)
        return sampler.ask(trials, n)


def _within(ranges: SearchSpace, study: EarlierStudy) -> EarlierStudy:
    """The trials of a study that lie in the ranges: samplers cannot place any outside them."""
    inside = tuple(trial for trial in study.trials if lies_within(ranges, trial.hparams))
    return replace(study, trials=inside)


def _bare(spec: Any, space: SearchSpace, setting: Setting) -> Sampler:
    """The sampler itself."""
    found: Sampler = registry.function("sampler", spec.name)(spec, space, setting)
    return found
