"""What the space of a trial varied: its program keeps the zeros of those paths, to the last bit.

The space may be edited between two runs of a study. So each run says in its `Start` what its space
varied, and a trial goes by the run that proposed it, whatever becomes of the space.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from hpo.space import SearchSpace
from hpo.spec.experiment import Experiment
from hpo.spec.sections.population import Pbt
from hpo.study.log.events import Start, StudyState

_KEY = "varying"


def varied_note(space: SearchSpace) -> Mapping[str, Any]:
    """What a run says of its space among the details of its driver."""
    return {_KEY: sorted(space.varying)}


def varied_for(state: StudyState, trial: int, experiment: Experiment) -> frozenset[str]:
    """The paths that the space varied when a trial was proposed.

    Those of the space as it is now where the log does not say, and in a population, whose trials
    take over hparams and lanes of each other and so need a program that all of them have.
    """
    now = experiment.space.varying
    if experiment.search is not None and isinstance(experiment.search.scheduler, Pbt):
        return now
    seen = state.history_seq.get(trial, state.seq)
    begun = bisect_right(state.starts, seen, key=lambda event: event.seq)
    what = state.starts[begun - 1].what if begun else None
    known = what.driver.get(_KEY) if isinstance(what, Start) else None
    return now if known is None else frozenset(known)
