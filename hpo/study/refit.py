"""One model on the rows of all folds: `hpo train --refit`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from hpo.data.dataset import DataSet
from hpo.engine.pools.occupant import EpochReport
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.training.lane import lane_from_arrays, lane_to_arrays
from hpo.engine.training.supervised import own_weights
from hpo.engine.training.task import task_of
from hpo.spec.changes import changing, stages
from hpo.spec.experiment import Training
from hpo.spec.marks import with_leaves
from hpo.study.unfinished import Arrays
from hpo.trial import Run

# The name of the losses of its epochs, beside the arrays of its lane.
_LOSSES = "losses"


@dataclass(frozen=True)
class Refit:
    """A model that trained on all rows: its weights, and its metrics on the test rows if any."""

    epochs: int
    weights: Mapping[str, Any]
    test: Mapping[str, float] | None


def refit(
    training: Training,
    data: DataSet,
    epochs: int,
    pool: Pool,
    state: Arrays | None,
    look: Callable[[Callable[[], Arrays]], None],
) -> Refit:
    """Train on all rows for these epochs; schedules span `train.epochs` as they do in a fold.

    It begins from `state`, or for None from the start. `look` gets what gives its present state.
    """
    platform = pool.program.platform
    alone = with_leaves(training, {"data.folds": None, "train.seeds": 1})
    program, knobs = split(alone, data, platform, changing(alone))
    changes = tuple(
        (after, split(changed, data, platform, changing(alone))[1])
        for after, changed in stages(alone)
    )
    pool.load(program, Plans(Plan("map", 1)), data)
    begun = dict(state or {})
    losses: list[float] = begun.pop(_LOSSES, np.zeros(0)).tolist()
    lane = lane_from_arrays(task_of(program).shapes(), begun)
    if lane is None:
        losses = []
    pool.put(0, Run(0), alone, knobs, lane, epochs, changes, losses=losses)

    def reached() -> Arrays:
        return {**lane_to_arrays(pool.take(0)), _LOSSES: np.array(losses)}

    while pool.has_work:
        look(reached)
        losses.extend(report.metrics["loss"] for report in pool.round())
    params, variables = own_weights(program, alone, pool.take(0))
    test = None if data.test is None else pool.evaluate(0, data.test)
    pool.clear(0)  # its run has the name of that of the first fold, whose state is kept
    return Refit(epochs, {"params": params, "variables": variables}, test)


def best_epochs(curves: Sequence[Sequence[EpochReport]]) -> int:
    """The mean of the epochs with the least validation loss; of a diverged run, its last one."""
    best = []
    for curve in curves:
        losses = [report.metrics["loss"] for report in curve]
        is_known = np.isfinite(losses).any()
        best.append(1 + int(np.nanargmin(losses)) if is_known else len(losses))
    return max(1, round(fmean(best)))
