"""Which searches may propose in cohorts: `search.cohort`."""

from __future__ import annotations

from collections.abc import Iterator

from hpo.registry import SAMPLERS, SCHEDULERS
from hpo.spec.file.document import Mistake
from hpo.spec.sections.search import SearchSpec


def can_share_programs(search: SearchSpec) -> bool:
    """Whether the sampler of a search can propose beside hparams taken from another trial."""
    is_given = SAMPLERS[search.sampler.name].takes_given
    return is_given and not SCHEDULERS[search.scheduler.name].changes_hparams


def cohort_mistakes(search: SearchSpec) -> Iterator[Mistake]:
    """What is wrong with the cohorts of a search."""
    if search.cohort == 1 or can_share_programs(search):
        return
    names = ", ".join(sorted(name for name in SAMPLERS if SAMPLERS[name].takes_given))
    what, cure = f"the sampler {search.sampler.name} proposes", f"use one of {names}"
    if SAMPLERS[search.sampler.name].takes_given:
        what, cure = f"{search.scheduler.name} begins with random draws", "use another scheduler"
    text = f"cannot be {search.cohort}: {what} without regard to the shapes of other trials"
    yield Mistake(("search", "cohort"), f"{text}. Leave it at 1, or {cure}")
