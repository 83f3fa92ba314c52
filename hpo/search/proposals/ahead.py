"""The hparams of a trial before it runs, if no result decides them: `hpo check --trial N`."""

from __future__ import annotations

from hpo.errors import HpoError
from hpo.registry import SAMPLERS, SCHEDULERS
from hpo.search.auto import sampler_picks
from hpo.search.proposals.stack import is_learning, make_sampler, setting_of
from hpo.search.proposals.warm_start import WarmStart
from hpo.spec.experiment import Experiment
from hpo.spec.load import require_search
from hpo.spec.sections.search import AutoSampler
from hpo.spec.space.start import start_points
from hpo.spec.words import count_text
from hpo.trial import HParams


def proposed_ahead(experiment: Experiment, number: int) -> HParams:
    """The hparams that trial `number` of a new study will start with.

    Raises:
        HpoError: where results or other studies decide them, or the study has no such trial.
    """
    search, space = require_search(experiment), experiment.space
    where = f"--trial {number}"
    if number >= search.trials:
        trials = count_text(search.trials, "trial")
        raise HpoError(f"{where}: the study has {trials}: write 0 to {search.trials - 1}.")
    written = experiment.training.model_dump(exclude_unset=True)
    points = start_points(space, written, search.start, type(experiment.training))
    reason = _reason_to_wait(experiment)
    sampler = make_sampler(
        search.sampler, space, setting_of(experiment), WarmStart(points=tuple(points))
    )
    # Known points come before everything else. A point that is listed twice is tried once.
    known = len({repr(sorted(point.items())) for point in points})
    if reason and number >= max(known, _before_results(experiment)):
        raise HpoError(f"{where}: {reason}, so only the search can tell.")
    proposals = sampler.ask((), number + 1)
    if len(proposals) <= number:
        raise HpoError(
            f"{where}: the space allows only {count_text(len(proposals), 'configuration')}: "
            f"write 0 to {len(proposals) - 1}, or widen the space."
        )
    return proposals[number]


def _before_results(experiment: Experiment) -> int:
    """How many of a study's first trials no result decides, by a sampler that looks at results.

    The first trial is one of them, unless other studies decide it. A sampler that draws at random
    until `startup_trials` have a result proposes that many: no more trials than there are have one.
    """
    search, space, setting = require_search(experiment), experiment.space, setting_of(experiment)
    if search.sources:
        return 0
    moves = any(dimension.limits for dimension in space.dimensions)
    # A cohort follows its first trial that keeps the constraints, which its cost decides.
    follows = search.cohort > 1 and search.constraints
    if moves or follows or SCHEDULERS[search.scheduler.name].fits_sampler:
        return 1
    sampler, until = search.sampler, None
    if isinstance(sampler, AutoSampler):
        picks = sampler_picks(space, setting)
        sampler, until = picks.picks[0]
    count: int = sampler.startup_trials if SAMPLERS[sampler.name].draws_first else 1
    return count if until is None else min(count, until)


def _reason_to_wait(experiment: Experiment) -> str:
    """Why the proposals of a study are not known before it runs; empty if they are."""
    search, space, setting = require_search(experiment), experiment.space, setting_of(experiment)
    if search.sources:
        return f"the search first tries the best of {', '.join(search.sources)} (search.from)"
    if is_learning(search.sampler, space, setting):
        name: str = search.sampler.name
        if isinstance(search.sampler, AutoSampler):
            picks = sampler_picks(space, setting)
            name = picks.picks[0].spec.name
        return f"{name} proposes it by the results of earlier trials"
    moving = next((d.path for d in space.dimensions if d.limits), None)
    return f"the range of {moving} moves with the results (adapt)" if moving else ""
