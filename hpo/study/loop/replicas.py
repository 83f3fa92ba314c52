"""Replicas: a trial trains on several seeds and folds, whose mean or worst result judges it.

A replica of a trial is one `Run`. Samplers and schedulers see trials alone. Only the driver sees
both, with the help of this module.

Where the rungs of a scheduler are shares of the rows, or sizes of images, each rung has runs of its
own. They train from the start to the last epoch. A trial then counts what they are worth, in epochs
on all rows or pixels. Its loss after b epochs is that of the run on the smallest share which is
worth as much.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any, Self

from hpo.registry import METRICS
from hpo.spec.experiment import Training, folds_of
from hpo.spec.marks import with_leaves
from hpo.spec.sections.goal import Goal
from hpo.spec.sections.scheduler import Budget
from hpo.spec.sections.train import JudgedBy
from hpo.study.log.events import Metrics, ReplicaReport, Report, StudyState
from hpo.trial import Job, Run, RunJob, is_finite

if TYPE_CHECKING:
    from hpo.engine.pools.occupant import EpochReport  # imports JAX

_SEEDS = 2**32


@dataclass(frozen=True)
class Replicas:
    """The runs of a study's trials: one for each seed and fold.

    `share_epochs` is 0 unless rungs are shares of the rows, or of the pixels where they are
    `by_size`: then it is the epochs of each run.

    With `worst`, the worst result judges a trial: the least of a metric in `maximized`, and the
    largest of any other.
    """

    seeds: int = 1
    folds: int = 1
    judged_by: JudgedBy = "mean"
    maximized: frozenset[str] = frozenset()
    share_epochs: int = 0
    by_size: bool = False

    @classmethod
    def of(cls, training: Any, goal: Goal | None = None, budget: Budget = "epochs") -> Self:
        """The runs of a training, or of the trials of a search for a goal."""
        judged_by: JudgedBy = getattr(training.train, "judged_by", "mean")
        directions = {name: entry.direction for name, entry in METRICS.items()}
        directions |= {one.metric: one.direction for one in (goal.objectives if goal else ())}
        maximized = frozenset(name for name, way in directions.items() if way == "maximize")
        seeds, folds = training.train.seeds, folds_of(training)
        epochs = training.train.epochs if budget != "epochs" else 0
        return cls(seeds, folds, judged_by, maximized, epochs, budget == "size")

    @property
    def count(self) -> int:
        """How many runs of a trial train beside each other."""
        return self.seeds * self.folds

    @property
    def _is_alone(self) -> bool:
        """Whether a trial is one run."""
        return self.count == 1 and not self.share_epochs

    def runs_of(self, trial: int, budget: int = 0) -> list[Run]:
        """The runs of a trial; where each rung has its own, those of one budget."""
        return [
            Run(trial, seed, fold, budget)
            for seed in range(self.seeds)
            for fold in range(self.folds)
        ]

    def training_on_share(self, run: Run, training: Training) -> Training:
        """The training of one run of a trial, on its share of the rows."""
        own = training_of(run, training)
        if not run.budget or self.by_size:
            return own
        return with_leaves(own, {"sampling.share": run.share(self.share_epochs)})

    def epochs_of(self, reports: Sequence[EpochReport], epochs: float) -> float:
        """The epochs that a pool has trained, without those that diverged.

        The pool counts `epochs` as whole; on shares of the rows or pixels they are worth less.
        """
        trained = [report for report in reports if is_finite(report.metrics)]
        if self.share_epochs:
            return sum(report.run.share(self.share_epochs) for report in trained)
        return epochs - (len(reports) - len(trained))

    def is_over(self, state: StudyState, run: Run) -> bool:
        """Whether nobody will ask for the weights of a run."""
        is_finished = run.trial not in state.unfinished
        if is_finished or not run.budget:
            return is_finished
        return len(self.known(state, run)) >= self.share_epochs

    def summary(self, reports: Sequence[Metrics]) -> dict[str, float]:
        """The metrics that judge a trial, from those of its runs after an epoch."""
        if self.judged_by == "mean":
            return mean_of(reports)
        return worst_of(reports, self.maximized)

    def jobs_of_runs(self, jobs: Sequence[Job], state: StudyState) -> list[RunJob]:
        """The jobs of each trial's runs, without runs that have trained that far or diverged."""
        if self._is_alone:
            return [RunJob(Run(job.trial), job.to_epoch) for job in jobs]
        return [
            RunJob(run, to_epoch)
            for job in jobs
            for to_epoch in [self.share_epochs or job.to_epoch]
            for run in self.runs_of(job.trial, job.to_epoch if self.share_epochs else 0)
            for known in [self.known(state, run)]
            if len(known) < to_epoch and not _has_diverged(known)
        ]

    def known(self, state: StudyState, run: Run) -> Sequence[Metrics]:
        """The stored metrics of a run's weights, epoch by epoch."""
        if self._is_alone:
            return state.line(run.trial)
        return state.replicas.get(run.trial, {}).get(run, ())

    def taken_in(
        self, state: StudyState, run: Run, epoch: int, metrics: Metrics
    ) -> list[Report | ReplicaReport]:
        """The events of a run's next report; the last replica's comes with the trial's own.

        On a share of the rows or pixels, a trial's own comes each time its runs are worth an epoch
        more than those on smaller shares were.
        """
        if self._is_alone:
            return [Report(epoch, metrics)]
        found: list[Report | ReplicaReport] = [
            ReplicaReport(epoch, run, metrics),
        ]
        worth, before = (run.worth(e, self.share_epochs) for e in (epoch, epoch - 1))
        if worth == before or worth <= len(state.metrics[run.trial]):
            return found
        others = [
            metrics if other == run else known[epoch - 1]
            for other in self.runs_of(run.trial, run.budget)
            for known in [self.known(state, other)]
            if other == run or len(known) >= epoch
        ]
        if len(others) == self.count and all(map(is_finite, others)):
            found.append(Report(worth, self.summary(others)))
        return found

    def has_diverged(self, state: StudyState, trial: int) -> bool:
        """Whether a trial ends as diverged: a replica has diverged, and the others have caught up.

        So a trial has as many epochs as its shortest replica, in whichever order they train.
        """
        if self._is_alone:
            return _has_diverged(state.metrics[trial])
        budget = max((run.budget for run in state.replicas.get(trial, ())), default=0)
        known = [self.known(state, run) for run in self.runs_of(trial, budget)]
        limit = min((len(reports) for reports in known if _has_diverged(reports)), default=0) - 1
        return limit >= 0 and all(len(reports) >= limit for reports in known)


def training_of(run: Run, training: Training) -> Training:
    """The training of one run of a trial: its seed is `train.seed` plus the run's.

    A seed decides weights, dropout and the order of the data. So a run trains as the spec would
    with that seed alone. Runs on the same seed have the same order of data in every trial. All
    folds begin with the same weights.
    """
    seed = (training.train.seed + run.seed) % _SEEDS
    return with_leaves(training, {"train.seed": seed}) if run.seed else training


def mean_of(reports: Sequence[Metrics]) -> dict[str, float]:
    """The mean of each metric over the replicas; NaN if one of them is not finite."""
    if len(reports) == 1:
        return dict(reports[0])
    return {
        name: fmean(values) if all(map(math.isfinite, values)) else math.nan
        for name in reports[0]
        for values in [[metrics[name] for metrics in reports]]
    }


def worst_of(reports: Sequence[Metrics], maximized: Collection[str]) -> dict[str, float]:
    """The worst of each metric over the replicas; NaN if one of them is not finite."""
    return {
        name: (min(values) if name in maximized else max(values))
        if all(map(math.isfinite, values))
        else math.nan
        for name in reports[0]
        for values in [[metrics[name] for metrics in reports]]
    }


def deviation_of(reports: Sequence[Metrics]) -> dict[str, float]:
    """The standard deviation of each metric over the replicas; NaN if one is not finite."""
    return {
        name: pstdev(values) if all(map(math.isfinite, values)) else math.nan
        for name in reports[0]
        for values in [[metrics[name] for metrics in reports]]
    }


def final_reports(state: StudyState, trial: int, epoch: int) -> list[Metrics]:
    """The metrics of each replica of a trial after an epoch; empty with only one.

    On shares of the rows or pixels they are those on the largest, after its last epoch that all
    have.
    """
    known: Mapping[Run, Sequence[Metrics]] = state.replicas.get(trial, {})
    budget = max((run.budget for run in known), default=0)
    if budget:
        known = {run: reports for run, reports in known.items() if run.budget == budget}
        epoch = min(map(len, known.values())) if len(known) > 1 else 0
    return [known[run][epoch - 1] for run in sorted(known) if 0 < epoch <= len(known[run])]


def _has_diverged(known: Sequence[Metrics]) -> bool:
    return len(known) > 0 and not is_finite(known[-1])
