"""Which searches may propose in cohorts: `search.cohort`."""

from __future__ import annotations

from collections.abc import Iterator

from hpo.spec.file.document import Mistake
from hpo.spec.sections.population import Pbt
from hpo.spec.sections.search import SearchSpec

# The samplers that can propose with some hparams given. `auto` picks among them.
FOLLOWING = frozenset({"auto", "curve_gp", "tpe"})


def follows(search: SearchSpec) -> bool:
    """Whether the sampler of a search can take some hparams of a trial from another."""
    return search.sampler.name in FOLLOWING and not isinstance(search.scheduler, Pbt)


def cohort_mistakes(search: SearchSpec) -> Iterator[Mistake]:
    """What is wrong with the cohorts of a search."""
    if search.cohort == 1 or follows(search):
        return
    names = ", ".join(sorted(FOLLOWING))
    who, cure = f"the sampler {search.sampler.name}", f"use one of {names}"
    if search.sampler.name in FOLLOWING:
        who, cure = "pbt, whose first draws do not look at results,", "use another scheduler"
    text = f"{search.cohort} is more than {who} can do, for it takes no shape from another trial"
    yield Mistake(("search", "cohort"), f"{text}: leave it at 1, or {cure}")
