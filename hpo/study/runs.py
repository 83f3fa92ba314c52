"""The runs of one training: `hpo train` trains one for each seed and fold."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np

from hpo.data.dataset import DataSet
from hpo.engine.pools.occupant import EpochReport
from hpo.engine.pools.pool import Pool
from hpo.engine.program import Program, split
from hpo.engine.task_program import AnyProgram, split_task
from hpo.engine.training.ensemble import mean_on_test
from hpo.engine.training.lane import lane_from_arrays, lane_to_arrays
from hpo.engine.training.supervised import own_weights
from hpo.engine.training.task import Progress, task_of
from hpo.spec.changes import changing, stages
from hpo.spec.code.own_task import TaskTraining
from hpo.spec.sections.goal import GRADIENT_NORM, Objective
from hpo.study.log.judging import Judging
from hpo.study.loop.replicas import Replicas, deviation_of, training_of
from hpo.study.unfinished import REFIT, Arrays, Point
from hpo.trained.calibration import calibrated
from hpo.trained.save import (
    RunKey,
    SplitMetrics,
    Trained,
    Transforms,
)
from hpo.trial import Run, is_finite


class Model(NamedTuple):
    """What a training leaves: its result, weights and fitted transforms by run, and its data."""

    trained: Trained
    weights: Mapping[RunKey, Mapping[str, Any]]
    transforms: Transforms
    data: DataSet


class Runs:
    """The runs of a training, one for each seed and fold: their reports and final weights."""

    def __init__(self, training: Any, data: DataSet, platform: str, objective: Objective) -> None:
        varying = changing(training)

        def divided(stage: Any) -> tuple[AnyProgram, np.ndarray]:
            if isinstance(stage, TaskTraining):
                return split_task(stage, data, platform)
            return split(stage, data, platform, varying)

        self.program, self._knobs = divided(training)
        self._changes = tuple((after, divided(changed)[1]) for after, changed in stages(training))
        self._replicas = Replicas.of(training)
        runs = self._replicas.runs_of(0)
        self._curves: dict[Run, list[EpochReport]] = {run: [] for run in runs}
        self._weights: dict[Run, Mapping[str, Any]] = {}
        self._tested: dict[Run, Mapping[str, float] | None] = {}
        self._thresholds: dict[RunKey, list[float]] = {}
        self._training, self._data, self._objective = training, data, objective
        self._judging = Judging.of(training.train, objective)
        self.to_epoch: int = getattr(training.train, "until", None) or training.train.epochs
        self._reached: dict[Run, Progress] = {}
        # The states from which runs go on, and those in which they ended, by the key of the run.
        self.states: dict[str, Arrays] = {}
        self._kept: int | None = None

    @property
    def have_stopped(self) -> bool:
        """Whether the runs together have stopped by their own rule."""
        return self._judging.has_rule and self._judging.stop_epoch(self._losses()) is not None

    @property
    def kept_epoch(self) -> int:
        """The epoch whose weights are kept."""
        if not self._judging.has_rule:
            return self.to_epoch
        losses = self._losses()
        return self._judging.kept_epoch(losses[: self._judging.stop_epoch(losses)])

    def are_at(self, epoch: int) -> bool:
        """Whether the weights of all runs are those after an epoch, or no rule asks for one."""
        return not self._judging.has_rule or {*self._reached.values()} == {Progress(epoch, 0)}

    def start_again(self, to_epoch: int) -> None:
        """Forget all runs, which then train up to an epoch."""
        self._judging, self.to_epoch, self._kept = Judging(), to_epoch, to_epoch
        self._weights.clear()
        self._reached.clear()
        self.start_over()

    def _losses(self) -> list[float]:
        """The finite losses at the start of the curve."""
        curve = takewhile(lambda report: is_finite(report.metrics), self.curve())
        return [self._objective.loss(one.metrics[self._objective.metric]) for one in curve]

    @property
    def waiting(self) -> list[Run]:
        """The runs that have not ended."""
        return [run for run in self._curves if run not in self._weights]

    @property
    def curves(self) -> Collection[Sequence[EpochReport]]:
        """The reports of each run."""
        return self._curves.values()

    @property
    def transforms(self) -> Transforms:
        """What makes the features: one fit for all runs, or that of the fold of each."""
        if not isinstance(self.program, Program):
            return {}
        if not self._data.folds:
            return {"all": self._data.transform.to_arrays()}
        return {
            self._key(run): self._data.folds[run.fold].transform.to_arrays() for run in self._curves
        }

    def enter(self, pool: Pool) -> None:
        """Put a waiting run into each lane of a pool, which is empty."""
        for index, run in zip(range(pool.lane_count), self.waiting, strict=False):
            own, known = training_of(run, self._training), self._curves[run]
            lane, to_epoch = None, self.to_epoch
            if run.key in self.states:
                lane = lane_from_arrays(task_of(self.program).shapes(), self.states[run.key])
            if lane is None:
                known.clear()
            elif known and not is_finite(known[-1].metrics):
                to_epoch = len(known)  # diverged: it trains no further
            losses = [report.metrics.get("loss", math.nan) for report in known]
            knobs, changes = self._knobs, self._changes
            pool.put(index, run, own, knobs, lane, to_epoch, changes, losses=losses)

    def note(self, reports: Sequence[EpochReport]) -> None:
        """Keep the reports of a round.

        Raises:
            CodeError: for a metric of the user's own that fails.
        """
        for report in reports:
            if report.trouble is not None:
                raise report.trouble
            self._curves[report.run].append(report)

    def leave(self, pool: Pool) -> None:
        """Take the runs, which have ended, out of a pool."""
        for index in pool.occupied():
            run, progress = pool.occupant(index)
            self._reached[run] = progress
            lane = pool.take(index)
            self.states[run.key] = lane_to_arrays(lane)
            self._weights[run] = _kept(pool.program, self._training, lane)
            test = self._data.members[run.fold].test
            thresholds = pool.thresholds(index)
            self._tested[run] = None if test is None else pool.evaluate(index, test, thresholds)
            if thresholds is not None:
                self._thresholds[self._key(run)] = thresholds.tolist()
            pool.clear(index)

    def start_over(self) -> None:
        """Forget the reports of all runs that have not ended: their lanes are lost."""
        for run in self.waiting:
            self._curves[run].clear()
            self.states.pop(run.key, None)

    def point(self, pool: Pool, one: Callable[[], Arrays] | None, seconds: float) -> Point:
        """Where the runs are; `one` gives the state of the model of all rows, if that trains."""
        if one is not None:
            self.states[REFIT] = one()
        else:
            for index in pool.occupied():
                run, _ = pool.occupant(index)
                self.states[run.key] = lane_to_arrays(pool.take(index))
        curves = {run.key: reports for run, reports in self._curves.items()}
        precision = getattr(self._training.train, "precision", "")
        return Point(curves, self.states, self._kept, pool.lane_count, seconds, precision)

    def can_go_on(self, point: Point) -> bool:
        """Whether each run has a state of the shapes of this program."""
        shapes = task_of(self.program).shapes()
        return all(
            run.key in point.states and lane_from_arrays(shapes, point.states[run.key]) is not None
            for run in self._curves
        )

    def go_on(self, point: Point) -> None:
        """Let the runs begin where they were."""
        if point.kept is not None:
            self.start_again(point.kept)
        self.states = dict(point.states)
        for run, reports in self._curves.items():
            reports[:] = point.curves.get(run.key, ())

    def curve(self) -> list[EpochReport]:
        """What judges all runs together, epoch by epoch, as far as each of them is."""
        summary = self._replicas.summary
        return [
            EpochReport(Run(0), epoch, summary([report.metrics for report in reports]))
            for epoch, reports in enumerate(zip(*self._curves.values(), strict=False), start=1)
        ]

    def model(self, seconds: float) -> Model:
        """What the training leaves, once all runs have ended."""
        by_run = {self._key(run): self._metrics(run) for run in self._curves}
        runs = list(by_run.values())
        deviations = _over_runs(deviation_of, runs) if len(runs) > 1 else {}
        found = _over_runs(self._replicas.summary, runs)
        weights = {self._key(run): self._weights[run] for run in self._curves}
        if self._data.folds and isinstance(self.program, Program):
            members = [self._data.folds[run.fold] for run in self._curves]
            kept = list(weights.values())
            of_mean = mean_on_test(self.program, self._training, kept, members, self._data)
            found = {**found, "test": of_mean or found["test"]}
        calibration = None
        if isinstance(self.program, Program):
            kept = list(weights.values())
            calibration = calibrated(self.program, self._training, kept, self._data)
        trained = Trained(
            found,
            tuple(self.curve()),
            seconds,
            by_run,
            deviations,
            thresholds=self._thresholds,
            classes=self._data.classes,
            temperature=calibration and calibration.temperature,
            calibration=calibration.errors if calibration else {},
        )
        return Model(trained, weights, self.transforms, self._data)

    def _key(self, run: Run) -> RunKey:
        """The seed of a run, or with folds the name of its files."""
        seed: int = training_of(run, self._training).train.seed
        if not self._data.folds:
            return seed
        return f"fold-{run.fold}" if self._replicas.seeds == 1 else f"seed-{seed}-fold-{run.fold}"

    def _metrics(self, run: Run) -> SplitMetrics:
        last = self._curves[run][-1].metrics
        # Norms of the gradient are those of training, as its loss is.
        validation = {
            name: value
            for name, value in last.items()
            if name != "train_loss" and not name.startswith(GRADIENT_NORM)
        }
        return {"validation": validation, "test": self._tested[run]}


def _kept(program: AnyProgram, training: Any, lane: Any) -> Mapping[str, Any]:
    """What of a lane is kept of a trained model."""
    if not isinstance(program, Program):
        return {"state": lane.state}
    params, variables = own_weights(program, training, lane)
    return {"params": params, "variables": variables}


def _over_runs(
    summary: Callable[[Sequence[Mapping[str, float]]], dict[str, float]],
    by_run: Sequence[SplitMetrics],
) -> SplitMetrics:
    """A summary over the runs of each metric of each split."""
    found: dict[str, Mapping[str, float] | None] = {}
    for name in by_run[0]:
        reports = [report for metrics in by_run if (report := metrics[name]) is not None]
        found[name] = summary(reports) if reports else None
    return found
