"""The paths that a trial's space varied: its program computes them even where they are zero.

The space may be edited between two runs of a study. So each run notes in its `Start` which paths
its space varied, and a trial uses those of the run that proposed it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from hpo.registry import SCHEDULERS
from hpo.space import SearchSpace
from hpo.spec.experiment import Experiment
from hpo.spec.sections.scheduler import budget_of
from hpo.study.log.events import Start, StudyState

_KEY = "varying"


def varied_note(space: SearchSpace) -> Mapping[str, Any]:
    """The varied paths, for the details that a run notes of its driver."""
    return {_KEY: sorted(space.varying)}


def varied_for(state: StudyState, trial: int, experiment: Experiment) -> frozenset[str]:
    """The paths that the space varied when a trial was proposed.

    If the log does not say, they are those of the present space. The same holds for a population,
    whose trials copy each other's lanes and so need a common program.
    """
    search = experiment.search
    # Rungs that are shares of the rows vary the share of every trial.
    by_share = search is not None and budget_of(search.scheduler) == "share"
    shares = frozenset({"sampling.share"} if by_share else ())
    now = experiment.space.varying | shares
    if search is not None and SCHEDULERS[search.scheduler.name].changes_hparams:
        return now
    seen = state.history_seq.get(trial, state.seq)
    begun = bisect_right(state.starts, seen, key=lambda event: event.seq)
    what = state.starts[begun - 1].what if begun else None
    known = what.driver.get(_KEY) if isinstance(what, Start) else None
    return now if known is None else frozenset(known) | shares
