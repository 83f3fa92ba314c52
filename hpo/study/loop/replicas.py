"""Replicas: a trial that is trained on several seeds, and judged by the mean of its results.

What sits in a lane, is paused and has a checkpoint is a *run*: one replica of a trial, numbered
`trial * seeds + replica`. With one seed, a run is its trial. Samplers and schedulers see trials
alone; only the driver, by this module, sees both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from hpo.spec.experiment import Training
from hpo.spec.marks import with_leaves
from hpo.study.log.events import Metrics, ReplicaReport, Report, StudyState
from hpo.trial import Job

_SEEDS = 2**32


@dataclass(frozen=True)
class Replicas:
    """How the trials of a study are made of runs: `seeds` runs for each."""

    seeds: int

    def trial_of(self, run: int) -> int:
        """The trial that a run belongs to."""
        return run // self.seeds

    def replica_of(self, run: int) -> int:
        """Which of its trial's replicas a run is, from 0."""
        return run % self.seeds

    def runs_of(self, trial: int) -> range:
        """The runs of a trial."""
        return range(trial * self.seeds, (trial + 1) * self.seeds)

    def jobs_of_runs(self, jobs: Sequence[Job], state: StudyState) -> list[Job]:
        """The work of each run in the work of the trials; those that have got there have none."""
        if self.seeds == 1:
            return list(jobs)
        return [
            Job(run, len(known), job.to_epoch)
            for job in jobs
            for run in self.runs_of(job.trial)
            for known in [self.known(state, run)]
            if len(known) < job.to_epoch and not _has_diverged(known)
        ]

    def known(self, state: StudyState, run: int) -> Sequence[Metrics]:
        """What a run has reported, epoch by epoch, or those whose weights it has."""
        trial, replica = divmod(run, self.seeds)
        if self.seeds == 1:
            return state.line(trial)
        return state.replicas.get(trial, {}).get(replica, ())

    def taken_in(
        self, state: StudyState, run: int, epoch: int, metrics: Metrics
    ) -> list[Report | ReplicaReport]:
        """What a run's next report adds to the log: with the last replica's, the trial's own."""
        if self.seeds == 1:
            return [Report(epoch, metrics)]
        found: list[Report | ReplicaReport] = [
            ReplicaReport(epoch, self.replica_of(run), metrics),
        ]
        others = [
            metrics if other == run else known[epoch - 1]
            for other in self.runs_of(self.trial_of(run))
            for known in [self.known(state, other)]
            if other == run or len(known) >= epoch
        ]
        if len(others) == self.seeds and all(map(_is_finite, others)):
            found.append(Report(epoch, mean_of(others)))
        return found

    def has_diverged(self, state: StudyState, trial: int) -> bool:
        """Whether a trial ends as diverged: a replica has, and the others are as far as it got.

        So the trial has as many epochs as the shortest of its replicas, whichever came first.
        """
        if self.seeds == 1:
            return _has_diverged(state.metrics[trial])
        known = [self.known(state, run) for run in self.runs_of(trial)]
        limit = min((len(reports) for reports in known if _has_diverged(reports)), default=0) - 1
        return limit >= 0 and all(len(reports) >= limit for reports in known)


def replica_training(training: Training, replica: int) -> Training:
    """The training of one replica: the seeds of a spec are `train.seed` and those that follow it.

    A seed fixes weights, dropout and the order of the data, and so a replica is what the spec
    trains with that seed alone. The order is the same for this replica of every trial.
    """
    seed = (training.train.seed + replica) % _SEEDS
    return with_leaves(training, {"train.seed": seed}) if replica else training


def mean_of(reports: Sequence[Metrics]) -> dict[str, float]:
    """The mean of each metric over the replicas; not finite where one is not."""
    if len(reports) == 1:
        return dict(reports[0])
    return {
        name: fmean(values) if all(map(math.isfinite, values)) else math.nan
        for name in reports[0]
        for values in [[metrics[name] for metrics in reports]]
    }


def deviation_of(reports: Sequence[Metrics]) -> dict[str, float]:
    """The standard deviation of each metric among the replicas; not finite where one is not."""
    return {
        name: pstdev(values) if all(map(math.isfinite, values)) else math.nan
        for name in reports[0]
        for values in [[metrics[name] for metrics in reports]]
    }


def final_reports(state: StudyState, trial: int, epoch: int) -> list[Metrics]:
    """What each replica of a trial reported after an epoch; none with one seed."""
    known: Mapping[int, Sequence[Metrics]] = state.replicas.get(trial, {})
    return [known[n][epoch - 1] for n in sorted(known) if 0 < epoch <= len(known[n])]


def _has_diverged(known: Sequence[Metrics]) -> bool:
    return len(known) > 0 and not _is_finite(known[-1])


def _is_finite(metrics: Metrics) -> bool:
    return all(math.isfinite(value) for value in metrics.values())
