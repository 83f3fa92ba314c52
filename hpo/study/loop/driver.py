"""The driver: the loop that proposes, assigns, records and prunes until the study is done."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import NoReturn

from hpo.engine.pools.occupant import EpochReport
from hpo.engine.programs.plans import Plans
from hpo.errors import HpoError
from hpo.spec.code.frames import CodeError
from hpo.study.executors.alike import FirstTrials, all_failed, without_figures
from hpo.study.executors.messages import (
    Clear,
    Drew,
    Executor,
    Extend,
    Failed,
    Load,
    Loaded,
    Lost,
    Message,
    Order,
    Put,
    Refused,
    Reported,
    Snapshot,
    State,
    Take,
    Taken,
    TooLarge,
)
from hpo.study.log.events import (
    Checkpoint,
    Draw,
    End,
    Pause,
    Promote,
    Propose,
    Stop,
    StopReason,
)
from hpo.study.loop.assign import Assignment, assign
from hpo.study.loop.costing import Costing
from hpo.study.loop.deciding import Rules
from hpo.study.loop.exploiting import Exploiting
from hpo.study.loop.keeping import Keeper
from hpo.study.loop.occupancy import Occupancy, Seat
from hpo.study.loop.rung_sizes import RungSizes
from hpo.study.loop.states import States
from hpo.study.loop.stop_rules import StopRules
from hpo.study.loop.work import Work, WorkOfTrials
from hpo.study.storage.journal import Journal
from hpo.trial import HParams, Job, Run, RunJob, Trial, TrialState, is_finite

_WAIT_SECONDS = 0.1  # at most: the driver wakes up at the first message
# A transaction takes milliseconds of a core that trains. If a kill loses the results of this many
# seconds, they are trained again and come out the same.
_FLUSH_SECONDS = 0.2
# Trials proposed ahead for each lane, where the sampler does not look at results.
_STARTS_AHEAD = 4


class Driver:
    """Runs a study on an executor; `prepare` makes a trial's work, `plans` is for new programs.

    It decides about trials, and puts their runs into lanes, one for each seed and fold.
    """

    def __init__(
        self,
        rules: Rules,
        journal: Journal,
        executor: Executor,
        states: States,
        prepare: Callable[[HParams, int], Work],
        plans: Plans,
        checkpoint_seconds: float,
        keeper: Keeper | None = None,
        sizes: RungSizes | None = None,
    ) -> None:
        self.differences = 0  # retrained epochs that differ from the stored results
        self.epochs_trained = 0.0
        self.is_stopping = False
        self._rules, self._journal, self._executor = rules, journal, executor
        self._states, self._keeper, self._lanes_each = states, keeper, plans.usual.lanes
        self._waits = keeper.holds_back if keeper is not None else lambda due: False
        self._work = WorkOfTrials(journal, prepare, plans, sizes)
        self._first_trials = FirstTrials()
        self._replicas = rules.replicas
        # If the spec asks for fewer trials than have started, these are still finished.
        self._scheduler = rules.scheduler_for(max(rules.trials, len(journal.state)))
        self._checkpoint_seconds = checkpoint_seconds
        self._checkpoint_due = time.monotonic() + checkpoint_seconds
        self._flush_due = 0.0
        self._snapshots_under_way: set[int] = set()  # the pools that were asked for one
        self._is_exhausted = False
        self._lanes = Occupancy(executor.pools)
        self._costing = Costing(journal)
        self._stop_rules = StopRules(rules.stop, journal.state)
        self._in_transit: dict[Run, int] = {}  # runs taken out, states not here yet -> pool
        self._arrived: set[Run] = set()
        self._exploiting = Exploiting(
            rules.explorer, journal, executor, self._lanes, states, self._work, self._in_transit
        )

    def run(self, has_to_stop: Callable[[], bool], watch: Callable[[], None]) -> StopReason:
        """Go on until every trial has ended, or a rule or `has_to_stop` has those under way wait.

        Raises:
            HpoError: if a trial cannot be trained, or the study cannot be stored.
        """
        while True:
            reason = "interrupted" if has_to_stop() else self._stop_rules.reason()
            if reason is not None:
                self._interrupt(watch)
                return reason
            seq = self._journal.state.seq
            self._advance()
            self._flush_if_due()
            watch()
            is_waiting = self._in_transit or self._waits(self._flush_due)
            if not self.in_training() and not is_waiting:
                if self._journal.state.seq > seq:
                    continue  # trials have just ended, so others may start
                self._journal.flush()
                return "exhausted" if self._is_exhausted else "finished"
            for message in self._executor.receive(_WAIT_SECONDS):
                self._handle(message)
            self._flush_if_due()  # the next decision may take seconds
            self._checkpoint()

    def work_of(self, number: int) -> Work:
        """The work of a trial, which may have ended."""
        return self._work.of(number)

    @property
    def too_large(self) -> Mapping[str, str]:
        """Why a program fits no device, by the labels of such programs."""
        return self._work.too_large

    @property
    def broken(self) -> Mapping[int, str]:
        """Why trials could not train, by their numbers, where their own code is at fault."""
        return self._work.broken

    # -- deciding ---------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Prune, replace, propose and assign by the present state of the trials."""
        self._exploiting.carry_out(self._scheduler)
        state = self._journal.state
        for number in sorted(self._scheduler.eliminated(state.trials) - self.in_training()):
            self._end(number, TrialState.PRUNED)
        jobs = self._scheduler.runnable(state.trials, self._window())
        wanted = {job.trial for job in jobs}
        for _, _, seat in self._lanes:
            # The sampler must not take a waiting trial for a running one.
            if not seat.is_training and seat.run.trial not in wanted:
                self._pause(seat.run)
        self._assign(self._propose(jobs, state.trials))

    def _window(self) -> int:
        """How many trials may be proposed before they have lanes."""
        lanes = max(self._lanes_each * len(self._lanes.pools), self._lanes.count)
        lanes = max(1, lanes // self._replicas.count)
        started = sum(
            trial.state is TrialState.RUNNING and trial.epochs == 0
            for trial in self._journal.state.trials.unfinished
        )
        if not self._rules.is_learning:
            return max(0, _STARTS_AHEAD * lanes - started)
        return max(0, lanes - max(len(self.in_training()), started))

    def _propose(self, jobs: Sequence[Job], trials: Sequence[Trial]) -> Sequence[Job]:
        """Propose the trials that `jobs` start; gives the jobs whose trials exist then."""
        starts = [job.trial for job in jobs if job.trial >= len(trials)]
        if not starts or self._is_exhausted:
            return [job for job in jobs if job.trial < len(trials)]
        history = self._journal.state.seq
        proposals = self._rules.sampler.ask(trials, len(starts))
        for number, hparams in enumerate(proposals, start=len(trials)):
            self._journal.record(Propose(hparams, history), number)
            if not self._work.can_train(number):
                self._end(number, TrialState.DIVERGED)
            elif self._costing.price(number, self._work.of(number).costs):
                self._end(number, TrialState.INFEASIBLE)
        total = len(trials) + len(proposals)
        if len(proposals) < len(starts):
            # The last bracket ends here, and its trials are compared with each other.
            self._is_exhausted = True
            self._scheduler = self._rules.scheduler_for(total)
            return self._scheduler.runnable(self._journal.state.trials, 0)
        return [job for job in jobs if job.trial < total]

    def _assign(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            number = job.trial
            if self._is_finished(number):
                continue
            if not (self._work.can_train(number) and self._work.fits(number)):
                self._end(job.trial, TrialState.DIVERGED)
        jobs = [job for job in jobs if not self._is_finished(job.trial)]
        runs = [
            job
            for job in self._replicas.jobs_of_runs(jobs, self._journal.state)
            if job.run not in self._in_transit
        ]
        self._settle({job.run for job in runs})
        answers = assign(
            self._lanes.views(),
            runs,
            lambda run: self._work_of(run).setup,
            self._work.lanes_of,
        )
        for pool, answer in zip(self._lanes.pools, answers, strict=True):
            self._order(pool, answer)
        for _, _, seat in self._lanes:
            if not seat.is_training:
                self._pause(seat.run)

    def _settle(self, wanted: Set[Run]) -> None:
        """Pause runs that were taken out while they trained and have no job now."""
        for run in self._arrived - wanted:
            self._pause(run)
        self._arrived.clear()

    def _order(self, pool: int, answer: Assignment) -> None:
        if not answer:
            return
        orders: list[Order] = []
        for index in answer.takes:
            seat = self._lanes.seat(pool, index)
            if not seat.is_training:
                self._pause(seat.run)
            orders.append(Take(index))
            self._in_transit[seat.run] = pool
            self._lanes.leave(pool, index)
        if answer.loads is not None:
            work = self._work_of(answer.puts[0][1].run)
            plans = self._work.plans_of(work.program.label)
            orders.append(Load(work.program, plans, work.data))
            self._lanes.load(pool, work.setup, plans.usual.lanes)
        for index, job in answer.extends:
            self._promote(job)
            self._lanes.seat(pool, index).to_epoch = job.to_epoch
            orders.append(Extend(index, job.to_epoch))
        self._executor.send(pool, orders)
        for index, job in answer.puts:
            self._executor.send(pool, [self._put(pool, index, job)])

    def _put(self, pool: int, index: int, job: RunJob) -> Put:
        run, work = job.run, self._work_of(job.run)
        self._promote(job)
        state = self._states.find(run, self._journal.state.checkpoints.get(run))
        epoch = 0 if state is None else state.epoch
        self._lanes.sit(pool, index, Seat(run, epoch, job.to_epoch))
        own = self._replicas.training_on_share(run, work.training)
        timed = self._costing.is_timed and self._work.size_of(run) is None
        known = self._replicas.known(self._journal.state, run)[:epoch]
        losses = tuple(metrics.get("loss", math.nan) for metrics in known)
        return Put(index, run, own, work.knobs, state, job.to_epoch, work.changes, timed, losses)

    def _work_of(self, run: Run) -> Work:
        return self._work.of(run.trial, self._work.size_of(run))

    # -- hearing ----------------------------------------------------------------------------------

    def _handle(self, message: Message) -> None:
        match message:
            case Reported(_, reports, epochs, seconds, joules):
                self.epochs_trained += self._replicas.epochs_of(reports, epochs)
                self._costing.spend(seconds, joules)
                for report in reports:
                    self._report(report)
            case Drew(_, run, values):
                self._note_drawn(run.trial, values)
            case Taken(pool, states, is_snapshot):
                if is_snapshot:
                    self._snapshots_under_way.discard(pool)
                    current = self._exploiting.current(states)
                    self._states.save(s for s in current if not self._is_over(s.run))
                else:
                    for state in states:
                        self._arrive(state)
            case Loaded(pool, program, plan):
                self._work.pin(program, plan)
                setup = self._lanes.setups[pool]
                if setup is not None and setup.program == program.label:
                    self._lanes.widen(pool, plan.lanes)
            case Refused(pool, runs):
                self._give_back(runs)
                setup = self._lanes.setups[pool]
                self._lanes.shrink(pool, 0 if setup is None else self._work.lanes_of(setup))
            case TooLarge(pool, program, reason):
                self._lanes.unload(pool)
                for number in self._work.give_up(program.label, reason):
                    self._end(number, TrialState.DIVERGED)
            case Lost(pool, reason):
                self._lose(pool, reason)
            case Failed(_, error):
                self._fail(error)

    def _lose(self, pool: int, reason: str) -> None:
        """Give a lost worker's runs to others; they continue from a checkpoint or their start."""
        if pool not in self._lanes.pools:
            return
        sat = [seat.run for place, _, seat in self._lanes if place == pool]
        self._give_back([*sat, *(run for run, p in self._in_transit.items() if p == pool)])
        self._snapshots_under_way.discard(pool)
        self._lanes.lose(pool)
        if not self._lanes.pools:
            self._fail(
                HpoError(f"every worker is lost (the last one: {reason}): start the study again.")
            )

    def _fail(self, error: BaseException) -> NoReturn:
        self._journal.record(Stop("failed"))
        self._journal.flush()
        raise error

    def _give_back(self, runs: Iterable[Run]) -> None:
        """Runs that lost their lanes, or never got them, wait for others."""
        for run in runs:
            self._in_transit.pop(run, None)
            self._leave(run)
            self._pause(run)
            if self._keeper is not None:
                self._keeper.drop(run.trial)

    def _arrive(self, state: State) -> None:
        self._in_transit.pop(state.run, None)
        if not self._is_over(state.run):
            self._arrived.add(state.run)
            self._states.hold(state)
        elif self._keeper is not None:
            self._keeper.take(state, self._journal.state)

    def _report(self, report: EpochReport) -> None:
        run, state = report.run, self._journal.state
        number = run.trial
        if self._is_finished(number):
            return
        for _, _, seat in self._lanes.of(run):
            seat.epoch = report.epoch
        known = self._replicas.known(state, run)
        if report.epoch <= len(known):
            if known[report.epoch - 1] != report.metrics:
                self.differences += 1
            if not is_finite(report.metrics):
                self._end(number, TrialState.DIVERGED)
            return
        for what in self._replicas.taken_in(state, run, report.epoch, report.metrics):
            self._journal.record(what, number)
        self._costing.note(number, {} if self._work.size_of(run) else report.costs)
        if report.trouble is not None:
            self._work.broken.setdefault(number, str(report.trouble))
        self._stop_if_alike(number, report.trouble)
        if not is_finite(report.metrics):
            self._clear(run)
        if self._replicas.has_diverged(state, number):
            self._end(number, TrialState.DIVERGED)
        elif self._rules.is_full(state.trial(number)) or state.has_stopped(number):
            self._end(number, TrialState.COMPLETE)
        elif self._is_over(run):
            # The trial starts again on the next share, or the next size.
            self._clear(run)
            self._pause(run)

    def _stop_if_alike(self, number: int, trouble: CodeError | None) -> None:
        """End the search where a metric of the user's own fails on every prediction."""
        failure = None if trouble is None else without_figures(str(trouble))
        if self._first_trials.take(number, failure) and trouble is not None:
            self._fail(CodeError(f"{all_failed(trouble.sentence)}.", trouble.frames))

    def _note_drawn(self, number: int, values: HParams) -> None:
        known = self._journal.state.drawn.get(number, {})
        new = {name: value for name, value in values.items() if name not in known}
        if new and not self._is_finished(number):
            self._journal.record(Draw(new), number)

    def in_training(self) -> set[int]:
        """The trials whose lanes have work."""
        return {run.trial for run in self._lanes.in_training()}

    def _is_finished(self, number: int) -> bool:
        return number not in self._journal.state.unfinished

    def _is_over(self, run: Run) -> bool:
        """Whether nobody will ask for the weights of a run."""
        return self._replicas.is_over(self._journal.state, run)

    # -- recording --------------------------------------------------------------------------------

    def _pause(self, run: Run) -> None:
        """Pause a run's trial, unless another of its runs trains."""
        trial = self._journal.state.trial(run.trial)
        if trial.state is TrialState.RUNNING and trial.epochs > 0:
            others = {*self._replicas.runs_of(trial.number, run.budget)} - {run}
            if others.isdisjoint(self._lanes.in_training() | self._in_transit.keys()):
                self._costing.settle(trial.number)
                self._journal.record(Pause(trial.epochs), trial.number)

    def _promote(self, job: RunJob) -> None:
        trial = self._journal.state.trial(job.run.trial)
        if trial.state is TrialState.PAUSED:
            to_epoch = job.run.budget or job.to_epoch  # in the epochs of the trial
            self._journal.record(Promote(trial.epochs, to_epoch), trial.number)

    def _end(self, number: int, end: TrialState) -> None:
        self._costing.settle(number)
        self._journal.record(End(end, self._work.together(number)), number)
        if self._keeper is not None and end is TrialState.COMPLETE:
            self._collect(number, self._keeper)
        self._work.forget(number)
        seated = {seat.run for _, _, seat in self._lanes if seat.run.trial == number}
        begun = self._journal.state.replicas.get(number, ())
        for run in sorted({*self._replicas.runs_of(number), *begun, *seated}):
            self._clear(run)

    def _collect(self, number: int, keeper: Keeper) -> None:
        """Ask for the last states of a trial that has ended, if its weights are kept."""
        state = self._journal.state
        runs = self._replicas.runs_of(number)
        curves = {run: [*self._replicas.known(state, run)] for run in runs}
        if not keeper.wants(state, number, curves, self._work.of(number)):
            return
        for run in curves.keys() - self._in_transit.keys():
            for pool, index in (left := self._leave(run)):
                self._executor.send(pool, [Take(index)])
                self._in_transit[run] = pool
            if not left:
                held = self._states.find(run, state.checkpoints.get(run))
                keeper.take_held(number, held, state)

    def _clear(self, run: Run) -> None:
        """Forget a run that will not train again."""
        self._states.forget(run)
        for pool, index in self._leave(run):
            self._executor.send(pool, [Clear(index)])

    def _leave(self, run: Run) -> list[tuple[int, int]]:
        """Empty the lanes of a run; gives them as (pool, lane)."""
        left = [(pool, index) for pool, index, _ in self._lanes.of(run)]
        for pool, index in left:
            self._lanes.leave(pool, index)
        return left

    # -- keeping ----------------------------------------------------------------------------------

    def _checkpoint(self) -> None:
        """Every `checkpoint_seconds`, read all lanes and write the states that have changed."""
        if not self._waits(self._flush_due):
            self._record_checkpoints(self._states.written())
        if self._snapshots_under_way or time.monotonic() < self._checkpoint_due:
            return
        self._checkpoint_due = time.monotonic() + self._checkpoint_seconds
        self._states.save()
        self._exploiting.expect_snapshots()
        for pool in self._lanes.pools:
            if self._lanes.setups[pool] is not None:
                self._executor.send(pool, [Snapshot()])
                self._snapshots_under_way.add(pool)

    def _flush_if_due(self) -> None:
        if time.monotonic() >= self._flush_due and not self._waits(self._flush_due):
            self._flush_due = time.monotonic() + _FLUSH_SECONDS
            self._journal.flush()

    def _interrupt(self, watch: Callable[[], None]) -> None:
        """Take every run out of its lane and write its state, so that nothing trains twice."""
        self.is_stopping = True
        for pool in self._lanes.pools:
            self._executor.send(pool, [Take(index) for index in self._lanes.occupied(pool)])
        self._executor.close(watch)
        for message in self._executor.receive(_WAIT_SECONDS):
            self._handle(message)
        self._settle(frozenset())
        self._states.save()
        self._record_checkpoints(self._states.written(wait=True))
        self._journal.flush()

    def _record_checkpoints(self, checkpoints: Sequence[Checkpoint]) -> None:
        """Note new checkpoint files in the log, then delete those that it no longer refers to."""
        for checkpoint in checkpoints:
            if not self._is_over(checkpoint.run):
                self._costing.settle(checkpoint.run.trial)
                self._journal.record(checkpoint, checkpoint.run.trial)
        if checkpoints:
            self._journal.flush()
            state = self._journal.state
            self._states.sweep(
                c.file for run, c in state.checkpoints.items() if not self._is_over(run)
            )
