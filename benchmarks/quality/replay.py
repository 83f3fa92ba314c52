"""A study replayed on a table: hpo's own samplers, schedulers and assignment, a clock of epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hpo.search.proposals.stack import make_sampler
from hpo.search.sampler import Setting
from hpo.search.schedulers.make import make_scheduler
from hpo.spec.sections.scheduler import SchedulerSpec
from hpo.spec.sections.search import SamplerSpec
from hpo.study.loop.assign import Assignment, LaneView, PoolView, assign
from hpo.trial import HParams, Run, RunJob, Trial, TrialState

from .problem import Problem

# How often a full training's worth of epochs is divided by the marks of a `Track`.
MARKS_PER_TRAINING = 2


@dataclass(frozen=True)
class Search:
    """What is compared: a sampler and a scheduler of hpo's, on `pools` pools of `lanes` each."""

    sampler: SamplerSpec
    scheduler: SchedulerSpec
    lanes: int = 1
    pools: int = 1


class Track:
    """The regret of the trial that a study would name best, against epochs spent.

    That is the best of those trained in full, and before there is one, the best of those trained
    longest, as in `hpo show`. `regrets[k]` is the regret after `(k + 1) / MARKS_PER_TRAINING` of a
    full training. It is 1 before any result is known.
    """

    def __init__(self, problem: Problem, trainings: int) -> None:
        self.regrets: list[float] = []
        self._problem = problem
        self._marks = trainings * MARKS_PER_TRAINING
        self._spent = 0
        self._rank = (0, math.inf)
        self._regret = 1.0

    @property
    def is_over(self) -> bool:
        """Whether the epochs are spent."""
        return len(self.regrets) >= self._marks

    def spend(self, hparams: HParams, epoch: int, loss: float | None) -> None:
        """One epoch of a trial, and the loss that it brought; None if it diverged."""
        self._spent += 1
        if loss is not None and (-epoch, loss) < self._rank:
            self._rank, self._regret = (-epoch, loss), self._problem.regret(hparams)
        while self._spent * MARKS_PER_TRAINING >= (len(self.regrets) + 1) * self._problem.epochs:
            self.regrets.append(self._regret)

    def finished(self) -> list[float]:
        """The regrets to the end, of a study that may have ended before."""
        return self.regrets + [self._regret] * (self._marks - len(self.regrets))


def replay(problem: Problem, search: Search, seed: int, trainings: int) -> list[float]:
    """The regrets of one study, see `Track`.

    A pool trains an epoch of each of its busy lanes in turn, so that a round lasts one tick
    per busy lane. Each pool has its own clock. As in a study, all decisions happen between rounds.
    """
    return _Replay(problem, search, seed, trainings).run()


@dataclass
class _Lane:
    trial: int
    to_epoch: int


class _Replay:
    def __init__(self, problem: Problem, search: Search, seed: int, trainings: int) -> None:
        self._problem, self._seed = problem, seed
        total = trainings * problem.epochs
        setting = Setting(seed, total, problem.epochs, search.scheduler)
        self._sampler = make_sampler(search.sampler, problem.space, setting)
        self._schedule = search.scheduler
        self._scheduler = make_scheduler(search.scheduler, problem.epochs, total)
        self._track = Track(problem, trainings)
        self._trials: list[Trial] = []
        self._curves: list[tuple[float, ...]] = []
        self._lanes: list[list[_Lane | None]] = [[None] * search.lanes for _ in range(search.pools)]
        self._clocks = [0] * search.pools
        self._taken: set[int] = set()

    def run(self) -> list[float]:
        self._decide()
        while not self._track.is_over:
            busy = [pool for pool, lanes in enumerate(self._lanes) if any(map(self._trains, lanes))]
            if not busy:
                break
            pool = min(busy, key=lambda pool: (self._clocks[pool], pool))
            if self._round(pool):
                self._decide()
                now = self._clocks[pool]
                # A pool that had nothing to do begins when it is given something.
                self._clocks = [
                    clock if index in busy else max(clock, now)
                    for index, clock in enumerate(self._clocks)
                ]
        return self._track.finished()

    def _round(self, pool: int) -> bool:
        """An epoch of each busy lane of a pool; whether there is anything to decide then."""
        is_news = False
        for lane in self._lanes[pool]:
            if lane is None or not self._trains(lane):
                continue
            self._clocks[pool] += 1
            trial = self._trials[lane.trial]
            curve = self._curves[lane.trial]
            has_diverged = trial.epochs == len(curve)
            loss = None if has_diverged else curve[trial.epochs]
            self._track.spend(trial.hparams, trial.epochs + 1, loss)
            if loss is None:
                trial = replace(trial, state=TrialState.DIVERGED)
            else:
                trial = replace(trial, losses=(*trial.losses, loss))
                if trial.epochs == self._problem.epochs:
                    trial = replace(trial, state=TrialState.COMPLETE)
            self._trials[lane.trial] = trial
            is_news |= not self._trains(lane)
        return is_news

    def _trains(self, lane: _Lane | None) -> bool:
        if lane is None:
            return False
        trial = self._trials[lane.trial]
        return not trial.state.is_finished and trial.epochs < lane.to_epoch

    def _decide(self) -> None:
        """Prune, propose and assign until nothing changes, as the study's driver does."""
        trials = self._trials
        training = {lane.trial for lanes in self._lanes for lane in lanes if self._trains(lane)}
        for number in self._scheduler.eliminated(trials) - training:
            self._trials[number] = replace(trials[number], state=TrialState.PRUNED)
        for lanes in self._lanes:
            for index, lane in enumerate(lanes):
                if lane is not None and self._trials[lane.trial].state.is_finished:
                    lanes[index] = None
                elif lane is not None and not self._trains(lane):
                    self._pause(lane.trial)
        jobs = self._scheduler.runnable(trials, self._window(training))
        starts = [job for job in jobs if job.trial >= len(trials)]
        proposals = self._sampler.ask(trials, len(starts)) if starts else []
        for proposal in proposals:
            number = len(trials)
            hparams = self._problem.snap(proposal, self._taken)
            rng = np.random.default_rng([self._seed, number])
            trials.append(Trial(number, hparams))
            self._curves.append(self._problem.curve(hparams, rng))
        if len(proposals) < len(starts):
            self._scheduler = make_scheduler(self._schedule, self._problem.epochs, len(trials))
            jobs = self._scheduler.runnable(trials, 0)
        self._assign([job for job in jobs if job.trial < len(trials)])

    def _window(self, training: set[int]) -> int:
        """How many trials may be started: none that would wait for a lane."""
        places = sum(len(lanes) for lanes in self._lanes)
        waiting = sum(
            trial.state is TrialState.RUNNING and trial.epochs == 0 for trial in self._trials
        )
        return max(0, places - max(len(training), waiting))

    def _pause(self, number: int) -> None:
        trial = self._trials[number]
        if trial.state is TrialState.RUNNING and trial.epochs > 0:
            self._trials[number] = replace(trial, state=TrialState.PAUSED)

    def _assign(self, jobs: Sequence) -> None:
        views = [
            PoolView(
                "table",
                tuple(
                    None if lane is None else LaneView(Run(lane.trial), self._trains(lane))
                    for lane in lanes
                ),
            )
            for lanes in self._lanes
        ]
        runs = [RunJob(Run(job.trial), job.to_epoch) for job in jobs]
        count = len(self._lanes[0])
        answers: list[Assignment] = assign(views, runs, lambda _: "table", lambda _: count)
        for lanes, answer in zip(self._lanes, answers, strict=True):
            for index in answer.takes:
                lane = lanes[index]
                assert lane is not None
                self._pause(lane.trial)
                lanes[index] = None
            for index, job in [*answer.extends, *answer.puts]:
                number = job.run.trial
                lanes[index] = _Lane(number, job.to_epoch)
                trial = self._trials[number]
                self._trials[number] = replace(trial, state=TrialState.RUNNING)
